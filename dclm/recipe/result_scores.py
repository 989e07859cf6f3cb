"""The parts of a result beyond plain accuracies: contamination by its own documents, perplexity, the data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dclm.board.known.checks import flatten
from dclm.board.result import ITEMS_FILE, Measure, SuiteIdentity, TaskScore, TextScore, TrainingSummary
from dclm.core.counts import CheckpointCounts, counts_of
from dclm.core.errors import DataError
from dclm.core.record import Record, read_record
from dclm.core.stores.store import join, local_file, put, read_bytes, verified_file
from dclm.documents.overlaps import read_overlaps
from dclm.eval.contamination import contamination
from dclm.eval.run.stage import SCORES_FILE
from dclm.eval.suite import Suite
from dclm.recipe.recipe import Recipe


def find_contamination(
    out: str, documents: Mapping[str, str], suite: Suite, scores: str, allow_missing: bool
) -> Mapping[str, Mapping[str, Any]]:
    """The content of the file `out` for each task; remade if missing, changed, or from other documents or scores."""
    records = {f"documents {name}": read_record(path) for name, path in documents.items()}
    records["scores"] = read_record(scores)
    inputs = {role: record.fingerprint for role, record in records.items()}
    before = read_contamination(out)
    if before is None or before["inputs"] != inputs:
        found = contamination(list(documents.values()), suite, scores=scores, allow_missing=allow_missing)
        before = {**found.to_json(), "inputs": inputs}
        before["digest"] = _digest(before)
        put(out, (json.dumps(before, indent=1, ensure_ascii=False) + "\n").encode())
    tasks: Mapping[str, Mapping[str, Any]] = before["tasks"]
    return tasks


def read_contamination(path: str) -> dict[str, Any] | None:
    """The output of `find_contamination`; None if it is missing or was changed since."""
    content = read_bytes(path)
    try:
        found = json.loads(content or b"null")
    except ValueError:
        return None
    whole = isinstance(found, dict) and found.get("digest") == _digest(found)
    return found if whole else None


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in content.items() if k != "digest"}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def verified_records(records: Sequence[Record]) -> list[Record]:
    """The records of a run's stages in order. Each must name the current records of earlier stages. Raises: DataError
    for an artifact that was made from a different one than the run contains.
    """
    digests = {record.fingerprint: record.digest for record in records}
    for record in records:
        for role, digest in record.input_digests.items():
            found = digests.get(record.inputs[role], digest)
            if found != digest:
                what = f"was made from a {role} with the digest {digest[:12]}…, found {found[:12]}… in this run"
                raise DataError(f"{record.kind} {record.name}", what, "delete it and run the same command again")
    return list(records)


def read_scores(scores: str) -> dict[str, Any]:
    """The content of scores.json, compared with its record. Raises: DataError if it was changed."""
    files = {entry.path: entry.sha256 for entry in read_record(scores).files}
    for name in (SCORES_FILE, ITEMS_FILE):
        verified_file(join(scores, name), files.get(name))
    content: dict[str, Any] = json.loads(local_file(join(scores, SCORES_FILE)).read_text(encoding="utf-8"))
    return content


def suite_identity(scores: Mapping[str, Any]) -> SuiteIdentity:
    """The suite that scores.json was made with."""
    suite = scores["suite"]
    return SuiteIdentity(name=str(suite["name"]), version=int(str(suite["version"])), hash=str(suite["hash"]))


def training_summary(record: Record, deviations: tuple[str, ...]) -> TrainingSummary:
    """The training in result.json, from the checkpoint's record."""
    counts, config = counts_of(record, CheckpointCounts), record.config
    scale = config["scale"]
    assert isinstance(scale, Mapping)
    return TrainingSummary(
        scale=str(scale["name"]),
        params=counts.params,
        tokens=counts.tokens,
        flops=float(counts.flops),
        settings=flatten(scale),
        seed=_integer(config["seed"]),
        final_loss=counts.final_loss,
        validation_loss=counts.validation_loss,
        deviations=deviations,
    )


def number(value: object) -> float | None:
    """A number of a record or a report; None for null."""
    return float(value) if isinstance(value, int | float) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def task_scores(scores: Mapping[str, Any], contaminated: Mapping[str, Mapping[str, Any]]) -> dict[str, TaskScore]:
    """The entry of each task in result.json."""
    out = {}
    for label, task in scores["tasks"].items():
        known = contaminated.get(label, {})
        out[label] = TaskScore(
            score=task["accuracy"],
            n=int(task["n"]),
            stderr=task["standard_error"],
            clean_n=known.get("clean_n"),
            clean_score=known.get("clean_accuracy"),
            continuous={
                metric: Measure(value=found["value"], stderr=found["standard_error"])
                for metric, found in task["continuous"].items()
                if found is not None
            },
        )
    return out


def text_scores(scores: Mapping[str, Any]) -> dict[str, TextScore]:
    """The entry of each text in result.json."""
    return {
        name: TextScore(bits_per_byte=text["bits_per_byte"], stderr=text["standard_error"], bytes=text["bytes"])
        for name, text in scores.get("perplexity", {}).items()
    }


def source_counts(names: Sequence[str], documents: Sequence[Record], tokens: Record) -> dict[str, object]:
    """By source: the fate of its records, what it shares with other sources (if the documents end with those of
    `dedup_across`), and how many sequences it had and contributed."""
    across = read_overlaps(documents[-1]) if len(documents) == len(names) + 1 else None
    shared = {} if across is None else {n: {"across": across.of_source(i)} for i, n in enumerate(across.sources)}
    found = tokens.counts.get("sources")
    taken = found if isinstance(found, list) and len(found) == len(names) else [{}] * len(names)
    return {
        name: {
            **{k: record.counts[k] for k in ("read", "kept", "dropped", "rejected", "decisions")},
            **shared.get(name, {}),
            **{k: part[k] for k in ("sequences", "taken") if k in part},
        }
        for name, record, part in zip(names, documents[: len(names)], taken, strict=True)
    }


def plain_recipe(recipe: Recipe) -> object:
    """The recipe as written, without fields at their default and without inserting variables."""
    defaults = {f.name: f.default for f in dataclasses.fields(recipe)}
    fields = dataclasses.asdict(recipe)
    written = {k: v for k, v in fields.items() if v != defaults[k] and v not in ({}, ())}
    return json.loads(json.dumps(written, default=str))
