"""Counts per document: exact, deterministic, capped, and reflected in the account."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.errors import DataError
from dclm.core.record import Record, describe_files, read_record, write_record
from dclm.engine.local import LocalEngine
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.repeats import UNIT, DocumentRepeats, copies
from dclm.tokens.stage import TokenizeConfig, tokenize

TIMES = st.lists(st.floats(0, 6), min_size=1, max_size=200)


def times_of(rule: DocumentRepeats, values: list[object]) -> list[float]:
    return [int(n) / UNIT for n in rule.units(values, "here")]


@given(counts=TIMES, cut=st.integers(0, 200))
def test_counts_are_realized_exactly_however_the_documents_are_cut(counts: list[float], cut: int) -> None:
    units = DocumentRepeats(column="x", cap=5).units(counts, "here")
    whole = copies(units, 0)
    wanted = np.minimum(counts, 5)
    assert all(math.floor(c - 1e-4) <= n <= math.ceil(c + 1e-4) for c, n in zip(wanted, whole, strict=True))
    assert abs(whole.sum() - units.sum() / UNIT) <= 0.5
    reached = np.abs(np.cumsum(whole) - np.cumsum(units) / UNIT)
    assert reached.max() <= 0.5
    parts = [copies(units[:cut], 0), copies(units[cut:], int(units[:cut].sum()))]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_the_functions_are_what_they_say() -> None:
    assert times_of(DocumentRepeats(column="x", cap=3), [0, 0.5, 2, 7, None]) == [0, 0.5, 2, 3, 1]
    logs = DocumentRepeats(column="x", function="log2", cap=4, missing=0.25)
    assert times_of(logs, [0, 1, 2, 8, 1024, None]) == [0, 1, 2, 4, 4, 0.25]
    steps = DocumentRepeats(column="x", function="steps", steps=((-1, 0.5), (10, 2.5)), cap=4)
    assert times_of(steps, [-2, -1, 9.9, 10, math.inf, None]) == [0, 0.5, 0.5, 2.5, 2.5, 1]
    labels = DocumentRepeats(column="x", function="labels", labels={"math": 3}, cap=2, missing=0.5)
    assert times_of(labels, ["math", "spam", None]) == [2, 0.5, 0.5]


@pytest.mark.parametrize(
    "bad",
    [
        {"function": "steps"}, {"labels": {"a": 1.0}}, {"function": "steps", "steps": ((2, 1), (1, 1))},
        {"function": "steps", "steps": ((1, -1.0),)}, {"function": "labels"},
    ],
)  # fmt: skip
def test_a_rule_that_contradicts_itself_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"steps"):
        DocumentRepeats(column="x", cap=1, **bad)


@pytest.mark.parametrize(("function", "value"), [("value", "a"), ("value", -1), ("log2", "x"), ("labels", 3)])
def test_values_of_the_wrong_kind_are_named(function: Any, value: object) -> None:
    extra: dict[str, Any] = {"labels": {"a": 1.0}} if function == "labels" else {}
    with pytest.raises(DataError, match="in the column x, allowed"):
        DocumentRepeats(column="x", cap=1, function=function, **extra).units([value], "here")


def write(folder: Path, form: str, shards: int = 3) -> Path:
    """Ninety documents without a word in common, so that no two rows are equal, with counts of 0, ½, 1, 2½ and 4."""
    folder.mkdir()
    texts = [" ".join(f"{i}x{k}" for k in range(3 + i % 7)) for i in range(90)]
    rows = [{"text": text, "score": [0.0, 0.5, 1.0, 2.5, 4.0][i % 5]} for i, text in enumerate(texts)]
    for shard in range(shards):
        part = rows[shard * 90 // shards : (shard + 1) * 90 // shards]
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist(part), folder / f"{shard}.parquet")
        else:
            (folder / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


RULE = DocumentRepeats(column="score", cap=3)
CONFIG = TokenizeConfig(seq_len=7, rows_per_shard=16, repeats=RULE)


def rows_of(out: Path) -> list[tuple[int, ...]]:
    data = TokenDataset(out, verify=True)
    return [tuple(row) for row in data.rows(range(len(data))).tolist()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_each_document_is_read_as_often_as_its_count_says(tokenizer_json: str, tmp_path: Path, form: str) -> None:
    record = tokenize([write(tmp_path / "pool", form)], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)
    counts: Any = record.counts
    wanted = [min(3.0, [0.0, 0.5, 1.0, 2.5, 4.0][i % 5]) for i in range(90)]
    assert counts["document_reads"] == round(sum(wanted)) == 126
    assert counts["documents"] + counts["unread_documents"] == 90
    rows = rows_of(tmp_path / "out")
    assert Counter(token for row in rows for token in row)[0] >= 126  # an EOT each, and padding
    produced = sum(counts[f"{part}_ids"] for part in ("bos", "text", "eot", "padding"))
    assert produced == len(set(rows)) * 8
    assert produced + counts["repeated_ids"] - counts["unused_ids"] == counts["ids"] == len(rows) * 8
    assert (counts["tokens"], counts["distinct_tokens"]) == (len(rows) * 7, len(set(rows)) * 7)
    assert set(Counter(rows).values()) == {1, 2, 3}
    (source,) = counts["sources"]
    assert source["taken"] == len(rows) > source["distinct"] == source["sequences"]
    assert record.config["repeats"]["column"] == "score"  # type: ignore[index]


def test_the_bytes_depend_neither_on_workers_nor_on_the_form(tokenizer_json: str, tmp_path: Path) -> None:
    made = []
    for form, workers in (("jsonl", 1), ("jsonl", 4), ("parquet", 1), ("artifact", 1)):
        out = tmp_path / f"{form}{workers}"
        pool = write(tmp_path / f"pool-{form}{workers}", "parquet" if form == "artifact" else form)
        if form == "artifact":
            pool = as_artifact(pool, tmp_path / "documents")
        tokenize([pool], out, tokenizer=tokenizer_json, config=CONFIG, engine=LocalEngine(workers))
        made.append({f.path: f.sha256 for f in read_record(out).files})
    assert made[0] == made[1] == made[2] == made[3]


def test_repeats_lie_far_apart(tokenizer_json: str, tmp_path: Path) -> None:
    tokenize([write(tmp_path / "pool", "jsonl")], tmp_path / "out", tokenizer=tokenizer_json, config=CONFIG)
    rows = rows_of(tmp_path / "out")
    for row, times in Counter(rows).items():
        places = [i for i, other in enumerate(rows) if other == row]
        if times > 1:
            assert min(np.diff(places)) > len(rows) / (2 * times) * 0.6  # keys are 1/(2n) apart, places nearly so


@pytest.mark.parametrize("form", ["jsonl", "parquet", "artifact"])
def test_a_column_that_is_not_there_is_named(tokenizer_json: str, tmp_path: Path, form: str) -> None:
    config = TokenizeConfig(seq_len=7, repeats=DocumentRepeats(column="scor", cap=2))
    pool = write(tmp_path / "a", "parquet" if form == "artifact" else form)
    if form == "artifact":
        pool = as_artifact(pool, tmp_path / "documents")
    what = (
        r"allowed: one named scor\nhint: did you mean `score`" if form == "artifact" else "no value in the column scor"
    )
    with pytest.raises(DataError, match=what):
        tokenize([pool], tmp_path / "out", tokenizer=tokenizer_json, config=config)


def as_artifact(parquet: Path, root: Path) -> Path:
    """The same files as documents of a finished curation."""
    (root / "documents").mkdir(parents=True)
    for path in parquet.iterdir():
        path.rename(root / "documents" / path.name)
    write_record(root, Record(kind="documents", name="x", fingerprint="f00", config={}, files=describe_files(root)))
    return root
