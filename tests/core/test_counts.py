"""Counts: what a record states is what was written, and anything else is refused by name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import jsonschema
import pytest

from dclm.cli.reference.files import schemas
from dclm.core.counts import COUNTS, Counts, ScoresCounts, TokensCounts, counts_of
from dclm.core.errors import IncompleteError
from dclm.core.record import Record

TOKENS = TokensCounts(sequences=2, tokens=8, ids=10, sources=({"name": "a", "sequences": 2},))


def record(counts: Mapping[str, object], kind: str = "tokens") -> Record:
    plain = json.loads(json.dumps(counts))
    return Record(kind=kind, name="x", fingerprint="f", config={}, counts=plain)  # type: ignore[arg-type]


def test_counts_are_read_as_they_were_written() -> None:
    assert counts_of(record(TOKENS.plain()), TokensCounts) == TOKENS


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"tokens": "8"}, "its count `tokens` is '8'"),
        ({"tokens": True}, "its count `tokens` is True"),
        ({"tokens": 8.5}, "its count `tokens` is 8.5"),
        ({"sources": {}}, "its count `sources` is {}"),
        ({"eot_tokens": 3}, "this version has no count `eot_tokens`"),
    ],
)
def test_other_counts_are_refused_by_name(change: Mapping[str, object], what: str) -> None:
    with pytest.raises(IncompleteError, match=what):
        counts_of(record({**TOKENS.plain(), **change}), TokensCounts)


@pytest.mark.parametrize("kind", COUNTS)
def test_a_missing_count_is_named_and_the_schema_misses_it_too(kind: str) -> None:
    counts: type[Counts] = COUNTS[kind]  # type: ignore[index]
    required = [f.name for f in dataclasses.fields(counts) if f.default is dataclasses.MISSING]
    with pytest.raises(IncompleteError, match=f"have no `{required[0]}`"):
        counts_of(record({}, kind), counts)
    schema = json.loads(schemas()["record.schema.json"])
    with pytest.raises(jsonschema.ValidationError, match=f"'{required[0]}' is a required property"):
        jsonschema.validate(json.loads(json.dumps(dataclasses.asdict(record({}, kind)))), schema)


def test_the_schema_accepts_what_is_written() -> None:
    scores = ScoresCounts(tokens_forwarded=3, tokens_padding=0, items=1, tasks=1, missing={"squad": "no data"})
    schema = json.loads(schemas()["record.schema.json"])
    for counts, kind in ((TOKENS, "tokens"), (scores, "scores")):
        jsonschema.validate(json.loads(json.dumps(dataclasses.asdict(record(counts.plain(), kind)))), schema)
