"""The parts of a result beyond plain accuracies: contamination by its own documents, perplexity, the data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dclm.board.result import Measure, TaskScore, TextScore
from dclm.core.record import Record, read_record
from dclm.core.store import put, read_bytes
from dclm.eval.contamination import contamination
from dclm.eval.suite import Suite
from dclm.recipe.recipe import Recipe


def find_contamination(
    out: str, documents: Mapping[str, str], suite: Suite, scores: str, allow_missing: bool
) -> Mapping[str, Mapping[str, Any]]:
    """The content of the file `out` for each task; made anew if it is missing or belongs to other documents or
    scores."""
    inputs = {f"documents {name}": read_record(path).fingerprint for name, path in documents.items()}
    inputs["scores"] = read_record(scores).fingerprint
    before = read_bytes(out)
    if before is None or json.loads(before)["inputs"] != inputs:
        found = contamination(list(documents.values()), suite, scores=scores, allow_missing=allow_missing)
        content = {**found.to_json(), "inputs": inputs}
        before = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
        put(out, before)
    tasks: Mapping[str, Mapping[str, Any]] = json.loads(before)["tasks"]
    return tasks


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
    """By source: what happened to its records, and how many sequences it had and contributed."""
    found = tokens.counts.get("sources")
    taken = found if isinstance(found, list) and len(found) == len(names) else [{}] * len(names)
    return {
        name: {
            **{k: record.counts[k] for k in ("read", "kept", "dropped", "rejected", "decisions")},
            **{k: part[k] for k in ("sequences", "taken") if k in part},
        }
        for name, record, part in zip(names, documents, taken, strict=True)
    }


def plain_recipe(recipe: Recipe) -> object:
    """The recipe as it was written, without fields left at their default; its variables are not inserted."""
    defaults = {f.name: f.default for f in dataclasses.fields(recipe)}
    fields = dataclasses.asdict(recipe)
    written = {k: v for k, v in fields.items() if v != defaults[k] and v not in ({}, ())}
    return json.loads(json.dumps(written, default=str))
