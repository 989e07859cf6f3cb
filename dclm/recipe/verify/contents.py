"""Compares the statements of artifacts with their content: counts, losses, scores, and the numbers of result.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from dclm.board.result import ITEMS_FILE, Link, Result, link_of
from dclm.board.serving.rescore import rescore_here
from dclm.board.validate import validate
from dclm.core.errors import DclmError
from dclm.core.record import Record
from dclm.core.stores.store import exists, join, local_file, read_bytes
from dclm.eval.run.stage import SCORES_FILE
from dclm.recipe.result_scores import (
    read_contamination,
    source_counts,
    suite_identity,
    task_scores,
    text_scores,
    training_summary,
)
from dclm.train.output.metrics import METRICS, parse_metrics, smoothed_updates

_TOLERANCE = 1e-9
CONTAMINATION = "contamination.json"


def content_problems(address: str, record: Record) -> Iterator[str]:
    """Differences between an artifact's counts and its files, whose hashes are right."""
    rows = _rows(record)
    counts = record.counts
    if record.kind == "documents":
        if counts.get("kept") != rows["documents"]:
            yield f"states that {counts.get('kept')} documents were kept, but its files contain {rows['documents']}"
        parts = [counts.get(name) for name in ("kept", "dropped", "rejected")]
        numbers = [part for part in parts if isinstance(part, int)]
        if len(numbers) < len(parts) or counts.get("read") != sum(numbers):
            yield f"states that {counts.get('read')} records were read, but accounts for {parts}"
    elif record.kind == "index":
        yield from _index_problems(record)
    elif record.kind == "tokens" and "sequences" in counts:
        if counts["sequences"] != rows["tokens"]:
            yield f"states that there are {counts['sequences']} sequences, but its files contain {rows['tokens']}"
    elif record.kind == "checkpoint":
        losses = [each.loss for each in parse_metrics(read_bytes(join(address, METRICS)) or b"", address)]
        last = losses[-smoothed_updates(len(losses)) :]
        loss, said = sum(last) / len(last) if last else None, counts.get("final_loss")
        if loss is None or not isinstance(said, float) or abs(loss - said) > _TOLERANCE:
            yield f"states that the training loss is {said}, but {METRICS} gives {loss}"


def _index_problems(record: Record) -> Iterator[str]:
    """Numbers of keys of each corpus and relation that differ from those of its files."""
    runs = record.counts.get("runs")
    found: dict[str, int] = {}
    for entry in record.files:
        if entry.path.startswith("keys/"):
            place = entry.path.rpartition("/")[0].removeprefix("keys/")
            found[place] = found.get(place, 0) + (entry.rows or 0)
    for number, run in enumerate(runs if isinstance(runs, list) else ()):
        for relation, keys in run["keys"].items():
            held = found.get(f"{number:04d}/{relation}")
            if held != keys:
                yield f"states that corpus {number} has {keys} keys in {relation}, but its files contain {held}"


def _rows(record: Record) -> dict[str, int]:
    rows = dict.fromkeys(("documents", "tokens"), 0)
    for entry in record.files:
        folder = entry.path.partition("/")[0]
        if folder in rows:
            rows[folder] += entry.rows or 0
    return rows


def result_problems(path: str, run: str, records: Mapping[str, Record], whole: Set[str]) -> Iterator[str]:
    """Differences between a result.json and the records and scores of its run.

    path: address of the file. records: records of the run by relative address. whole: relative addresses of artifacts
    whose files are intact.
    """
    try:
        result = validate(read_bytes(path) or b"", path)
    except DclmError as error:
        yield from (f"{problem.where}: {problem.what}" for problem in error.problems)
        return
    if result.imported is not None:
        return
    here = {record.fingerprint: record for record in records.values()}
    chain = [(link, here.get(link.fingerprint)) for link in result.chain]
    for link, record in chain:
        if record is None:
            yield f"names a {link.kind} {link.name} {link.fingerprint[:12]}…, which is not in this run"
        elif (said := _known(link)) != (held := _known(link_of(record), bool(link.digest))):
            yield from _differences(f"the {link.kind} {link.name}", said, held)
    found = [record for _, record in chain if record is not None]
    if len(found) < len(chain):
        return
    if not result.evaluation_only:
        yield from _chain_differences(result, found)
    for place, record in records.items():
        if record.kind == "scores" and place in whole and record.fingerprint == result.chain[-1].fingerprint:
            yield from _score_problems(result, run, place)


def _chain_differences(result: Result, found: list[Record]) -> Iterator[str]:
    """What the result says about training and data otherwise than the records of its chain."""
    yield from _differences("the training", *_training(result, found))
    yield from _differences(
        "the data", {"counts": _plain(result.data.counts)}, {"counts": _plain(_data(result, found))}
    )
    expected = [f"{r.kind} {r.name}: {part}" for r in found for part in r.missing]
    if list(result.incomplete) != expected:
        yield "names different missing parts than the records"


def _known(link: Link, digest: bool = True) -> dict[str, object]:
    fields = dataclasses.asdict(link)
    return fields if digest else {**fields, "digest": ""}


def _training(result: Result, records: list[Record]) -> tuple[dict[str, Any], dict[str, Any]]:
    trained = next(record for record in records if record.kind == "checkpoint")
    said = dataclasses.asdict(result.training)
    return said, dataclasses.asdict(training_summary(trained, result.training.deviations))


def _data(result: Result, records: list[Record]) -> dict[str, object]:
    documents = [record for record in records if record.kind == "documents"]
    tokens = next(record for record in records if record.kind == "tokens")
    return source_counts(result.data.pools, documents, tokens)


def _score_problems(result: Result, run: str, place: str) -> Iterator[str]:
    """Compare scores with scores.json, and scores.json with the items."""
    address = join(run, place) if place else run
    scores = json.loads(local_file(join(address, SCORES_FILE)).read_text(encoding="utf-8"))
    path = join(run, CONTAMINATION)
    contaminated = read_contamination(path) if exists(path) else {"tasks": {}}
    if contaminated is None:
        yield f"cannot be compared with {CONTAMINATION}, which was changed after it was written"
        return
    with_items = {label: _plain(score) for label, score in result.scores.items()}
    yield from _differences(
        "the scores", with_items, {k: _plain(v) for k, v in task_scores(scores, contaminated["tasks"]).items()}
    )
    yield from _differences(
        "the perplexity",
        {k: _plain(v) for k, v in result.perplexity.items()},
        {k: _plain(v) for k, v in text_scores(scores).items()},
    )
    yield from _differences("the suite", _plain(result.suite), _plain(suite_identity(scores)))
    if not result.scores:
        return
    try:
        rescore_here(result, local_file(join(address, ITEMS_FILE)))
    except DclmError as error:
        yield from (f"{problem.where}: {problem.what}" for problem in error.problems)


def _plain(value: Any) -> Any:
    """The value after a round trip through JSON."""
    plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    return json.loads(json.dumps(plain))


def _differences(what: str, said: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*said, *held}):
        one, other = _plain(said.get(name)), _plain(held.get(name))
        if one != other:
            yield f"{what}: {name} is {_short(one)}, but {_short(other)} in the run's own files"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
