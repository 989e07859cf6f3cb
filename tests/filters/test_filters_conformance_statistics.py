"""Every setting of the statistics filters decides as the reference did on the conformance documents."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from dclm.curate.step import Context, Filter
from dclm.filters.rules.gopher import (
    AlphabeticWords,
    AlphanumericRatio,
    BulletLines,
    EllipsisLines,
    StopWords,
    SymbolRatio,
)
from dclm.filters.rules.length import LineLength, PageLength, WordLength
from dclm.filters.rules.repetition import REPEATED_NGRAMS, TOP_NGRAMS, Repetition
from dclm.text.features import FEATURES

pytestmark = pytest.mark.shared

NO_LIMITS: dict[str, None] = {f"max_{of}_fraction": None for of in ("line", "line_char", "paragraph", "paragraph_char")}


def our_step(func: str, args: dict) -> Filter | None:
    """The step equivalent to a setting of the reference; None for functions of other files."""
    args = dict(args)
    match func:
        case "page_length_filter":
            return PageLength(
                of=args["length_type"],
                min=args["min_length"],
                max=args["max_length"],
                ignore_punctuation=args.get("ignore_punctuation", False),
            )
        case "word_length_filter":
            return WordLength(min=args["min_length"], max=args["max_length"])
        case "line_length_filter":
            return LineLength(of=args["length_type"], max=args["max_length"])
        case "symbol_ratio_filter":
            return SymbolRatio(max=args["max_symbol_to_word_ratio"])
        case "bullet_count_filter":
            return BulletLines(max_fraction=args["max_bullet_start_ratio"])
        case "ellipsis_count_filter":
            return EllipsisLines(max_fraction=args["max_ellipsis_end_ratio"])
        case "alphabetic_word_ratio_filter":
            return AlphabeticWords(max_other_fraction=args["max_ratio"])
        case "stop_word_filter":
            return StopWords(min_count=args["min_stop_word"], unique=args["count_unique"])
        case "alphanumeric_char_ratio_filter":
            return AlphanumericRatio(min_fraction=args["max_alnum_ratio"])
        case "massive_web_repetition_filters":
            no = {"max_paragraph_fraction": None, "max_paragraph_char_fraction": None}
            return Repetition(**(no if args.get("skip_paragraph") else {}))
        case "repetition_filter":
            return repetition_of(args["granularity"], args["max_fraction"])
    return None


def repetition_of(granularity: str | int, limit: float) -> Repetition:
    """One call of the reference's `repetition_filter`."""
    if isinstance(granularity, str):
        fields = NO_LIMITS | {f"max_{granularity}_char_fraction": limit}
        return Repetition(**fields, top_ngrams={}, repeated_ngrams={})
    key = str(granularity)
    top = {key: limit} if key in TOP_NGRAMS else {}
    return Repetition(**NO_LIMITS, top_ngrams=top, repeated_ngrams={key: limit} if key in REPEATED_NGRAMS else {})


@cache
def conformance(shared: Path) -> dict:
    return json.loads(gzip.decompress((shared / "conformance" / "steps.json.gz").read_bytes()))


@cache
def batch_of(shared: Path) -> pa.RecordBatch:
    text = pa.array([doc["text"] for doc in conformance(shared)["docs"]])
    return pa.record_batch({"text": text, **{f"_{name}": compute(text) for name, compute in FEATURES.items()}})


def test_all_settings_decide_as_the_reference(shared: Path) -> None:
    num_settings = 0
    for setting in conformance(shared)["steps"]:
        step = our_step(setting["func"], setting["args"])
        if step is None:
            continue
        num_settings += 1
        kept = step.open(Context())(batch_of(shared)).to_pylist()
        wrong = [i for i, (ours, row) in enumerate(zip(kept, setting["rows"], strict=True)) if ours != bool(row[0])]
        assert not wrong, f"{setting['func']} {setting['args']}: documents {wrong} differ"
    assert num_settings == 42
