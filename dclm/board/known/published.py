"""Results that DCLM has published, as reference rows of every board.

`published.json` holds them in a compact form; `make_published` writes it from DCLM's table (one line per evaluation:
exp_data/evals/*.json of mlfoundations/dclm joined with exp_data/models/*.json). Numbers are rounded to six digits,
because they come from single precision. Values missing from the table are null.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dclm.board.entry import Entry, evaluation_of
from dclm.board.result import DataSummary, Result, SuiteIdentity, TaskScore, TrainingSummary, make_result
from dclm.core.errors import DataError
from dclm.eval.suite import load_suite

SOURCE = "DCLM (github.com/mlfoundations/dclm), exp_data/evals/*.json with exp_data/models/*.json"
LICENSE = "MIT"
UNKNOWN = "unknown"
"""The scale of a run whose size is unknown."""
_SHAPES = MappingProxyType({411616256: "411m", 1439795200: "1b", 2795932160: "3b", 6889410560: "7b"})
_DIGITS = 6
SETTING = re.compile(r"-(lr|wd|seed|bs)=([^-]+?(?:e-\d+)?)(?=-|_heavy|_copy|$)")


@cache
def published_entries() -> tuple[Entry, ...]:
    """The reference rows, in the order of DCLM's table."""
    text = resources.files("dclm.board.known").joinpath("published.json").read_text(encoding="utf-8")
    content = json.loads(text)
    return tuple(_entry(row, content["tasks"]) for row in content["rows"])


@cache
def _by_evaluation() -> Mapping[str, Entry]:
    return {evaluation_of(entry.result): entry for entry in published_entries()}


def published_like(result: Result) -> Entry | None:
    """The reference row with the same scores, if there is one."""
    return _by_evaluation().get(evaluation_of(result))


def published_title(result: Result) -> str | None:
    """The name of the published evaluation that an imported result repeats; None if it repeats none."""
    if result.imported is None:
        return None
    entry = published_like(result)
    return None if entry is None else entry.shown


def make_published(table: Path) -> bytes:
    """The content of published.json, from DCLM's published table (evals.csv). Raises: DataError."""
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    tasks = load_suite("extended").labels
    if not lines or any(column not in lines[0] for column in ("eval_json", "dataset_name", "params", *tasks)):
        raise DataError(str(table), "not DCLM's table of evaluations")
    rows = [_row(line, tasks) for line in lines]
    _name(rows)
    head = {"source": SOURCE, "license": LICENSE, "tasks": list(tasks)}
    parts = [json.dumps(head, ensure_ascii=False)[:-1]]
    body = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return f'{parts[0]}, "rows": [\n{body}\n]}}\n'.encode()


def _short_names() -> dict[str, str]:
    """Name in the table (or of the file, if the table has none) → a short name. fT: fastText; OH: OpenHermes 2.5;
    RW-v2: DCLM's reproduction of RefinedWeb; SA: suffix array; BFF: Bloom filter deduplication."""
    text = resources.files("dclm.board.known").joinpath("corpora.json").read_text(encoding="utf-8")
    names: dict[str, str] = json.loads(text)
    return names


def _row(line: Mapping[str, str], tasks: tuple[str, ...]) -> dict[str, Any]:
    params, tokens = (int(line[key]) if line[key] else None for key in ("params", "train_tokens"))
    times = float(line["chinchilla_multiplier"]) if line["chinchilla_multiplier"] else None
    shape = _SHAPES.get(params or 0)
    corpus, stem = line["dataset_name"] or None, _stem(line["eval_json"])
    return {
        "file": line["eval_json"],
        "corpus": corpus,
        "title": _short_names().get(corpus or stem, (corpus or stem)[:40]),
        "scale": UNKNOWN if shape is None or times is None else f"{shape}_{times:g}x",
        "params": params,
        "tokens": tokens,
        "flops": None if params is None or tokens is None else 6 * params * tokens,
        "core_v1": _number(line["Core_v1"]),
        "core_v2": _number(line["Core_v2"]),
        "extended_v1": _number(line["Extended_v1"]),
        "extended_v2": _number(line["Extended_v2"]),
        "scores": [_number(line[task]) for task in tasks],
    }


def _name(rows: list[dict[str, Any]]) -> None:
    """Make the titles unique: always add the scale, then learning rate, weight decay, batch and seed as needed."""
    for row in rows:
        if row["scale"] != UNKNOWN:
            row["title"] += f", {row['scale']}"
    for setting in ("lr", "wd", "bs", "seed"):
        groups: dict[str, list[tuple[dict[str, Any], str | None]]] = {}
        for row in rows:
            value = dict(SETTING.findall(row["file"].removesuffix(".json"))).get(setting)
            groups.setdefault(row["title"], []).append((row, value))
        for group in groups.values():
            for row, value in group:
                if value is not None and len({v for _, v in group}) > 1:
                    row["title"] += f", {setting} {float(value.replace('p', '.')):.3g}"
    seen: Counter[str] = Counter()
    twice = Counter(row["title"] for row in rows)
    for row in rows:
        if twice[row["title"]] > 1:
            seen[row["title"]] += 1
            row["title"] += f", run {seen[row['title']]}"


def _stem(file: str) -> str:
    return file.removeprefix("evals/").removeprefix("evaluation_").removesuffix(".json").removesuffix("_heavy")


def _number(text: str) -> float | None:
    try:
        return round(float(text), _DIGITS)
    except ValueError:
        return None  # empty, or "N/A due to missing tasks"


def _entry(row: Mapping[str, Any], tasks: list[str]) -> Entry:
    scores = {
        task: TaskScore(score=score) for task, score in zip(tasks, row["scores"], strict=True) if score is not None
    }
    result = make_result(
        name=row["title"],
        scores=scores,
        suite=SuiteIdentity(name="extended", version=load_suite("extended").version),
        training=TrainingSummary(
            scale=row["scale"], params=row["params"], tokens=row["tokens"], flops=row["flops"] and float(row["flops"])
        ),
        data=DataSummary(pools=() if row["corpus"] is None else (row["corpus"],)),
        records=(),
        imported=f"{SOURCE}, {LICENSE}: {row['file']}",
    )
    key = f"dclm-{hashlib.sha256(row['file'].encode()).hexdigest()[:12]}"
    return Entry(result=result, published=True, title=row["title"], key=key)
