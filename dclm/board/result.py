"""`result.json`: the scores of one experiment, its inputs, and the fingerprints of the whole chain."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dclm.board.conform import MAX_RESULT_BYTES, check_plain, check_schema, load_json
from dclm.core.config import Source, build
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record
from dclm.core.storage import open_input
from dclm.core.stores.store import put
from dclm.eval.aggregate import aggregate
from dclm.eval.suite import load_suite

SCHEMA_VERSION = 1
ITEMS_FILE = "items.parquet"
"""The scores artifact's table of items."""
Setting = bool | int | float | str | None
"""The value of a hyper-parameter."""
BITS = "bits_per_byte"
"""The continuous score whose mean over CORE is computed."""
Track = Literal["filtering", "mixing", "none"]
UNKNOWN = "unknown"
"""The scale of a model of which only the evaluation is known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """A continuous score of a task."""

    value: float
    stderr: float | None = None
    """Standard error of `value`; null if it cannot be estimated from the items."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskScore:
    """A model's accuracy on one task."""

    score: float
    """Fraction of items answered correctly (for `mmlu` and similar tasks: mean over the categories)."""
    n: int | None = None
    """Number of items scored; null if unknown."""
    stderr: float | None = None
    """Standard error of `score`."""
    clean_n: int | None = None
    """Number of scored items that do not occur in the training documents; null if this was not checked."""
    clean_score: float | None = None
    """Fraction of those items answered correctly."""
    continuous: Mapping[str, Measure] = dataclasses.field(default_factory=dict)
    """By name (see `dclm.eval.statistics.continuous`); empty in results that predate these scores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScore:
    """Loss of the model on a named text."""

    bits_per_byte: float
    stderr: float | None
    """Standard error, treating documents as the sample; null if there is only one document."""
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteIdentity:
    """The questions that were asked."""

    name: str
    version: int
    hash: str | None = None
    """sha256 over everything in the suite that affects a score; null for imported results."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """How the model was trained."""

    scale: str
    params: int | None = None
    """Trainable parameters."""
    tokens: int | None = None
    """Tokens seen, including repeats."""
    flops: float | None = None
    """6 · params · tokens, as counted by the benchmark."""
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
    """The hyper-parameters that were used, by dotted name (`learning_rate`, `model.hidden_dim`, …); empty if the result
    does not state them."""
    seed: int | None = None
    final_loss: float | None = None
    """Cross-entropy in nats per token over the last steps."""
    validation_loss: float | None = None
    """The same on held-out clean text."""
    deviations: tuple[str, ...] = ()
    """Deviations from the scale; empty for a run of the benchmark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSummary:
    """The source of the tokens."""

    pools: tuple[str, ...] = ()
    pipeline: str | None = None
    counts: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """For each source: numbers of documents read, kept, dropped and rejected, and the decisions of its steps over all
    documents (clusters of duplicates; for `decontaminate`, the items found per task)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One artifact of the chain."""

    kind: str
    name: str
    fingerprint: str
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Role → fingerprint of an input."""
    content: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For scores: file → sha256 of the items from which the aggregates can be recomputed."""
    digest: str = ""
    """Digest of the artifact's record, which covers its files and counts. Empty in results of earlier versions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The content of a result.json."""

    schema_version: int = SCHEMA_VERSION
    name: str
    track: Track = "none"
    scores: Mapping[str, TaskScore]
    core_v1: float | None
    core_v2: float | None
    extended_v1: float | None
    extended_v2: float | None
    core_v2_stderr: float | None = None
    extended_v2_stderr: float | None = None
    core_bpb: float | None = None
    """Mean over the tasks of CORE of the bits per byte of the right answer; null if a task has none."""
    core_bpb_stderr: float | None = None
    missing: tuple[str, ...] = ()
    """Tasks of EXTENDED without a score. A mean with a missing task is null."""
    perplexity: Mapping[str, TextScore] = dataclasses.field(default_factory=dict)
    """Keyed by the name of a text in eval_suite/texts."""
    limited: int | None = None
    """Maximum number of items per task, if there was a limit: then the scores are only rough estimates of benchmark
    scores."""
    suite: SuiteIdentity
    training: TrainingSummary
    data: DataSummary = dataclasses.field(default_factory=DataSummary)
    chain: tuple[Link, ...] = ()
    """The artifacts from pool to scores."""
    incomplete: tuple[str, ...] = ()
    """Parts that are missing anywhere in the chain."""
    imported: str | None = None
    """Origin of the numbers, if they are not from a run of this tool; such a result has no chain."""
    evaluation_only: bool = False
    """Whether only the evaluation was done by this tool: the chain has the scores alone, and nothing is known about the
    training and its data."""
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Versions, host, times; not part of the result's identity."""

    @functools.cached_property
    def id(self) -> str:
        """Content hash without provenance: the same numbers from the same chain have the same id."""
        content = self.to_json()
        del content["provenance"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def to_json(self) -> dict[str, object]:
        """Plain values, as in the file."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        for holder, field in (
            (plain["training"], "settings"),
            *((link, "content") for link in plain["chain"]),
            *((link, "digest") for link in plain["chain"]),
            *((score, "continuous") for score in plain["scores"].values()),
            (plain, "core_bpb"),
            (plain, "core_bpb_stderr"),
            (plain, "evaluation_only"),
        ):
            if holder[field] in ({}, None, "", False):  # omitted: results made before the field existed keep their ids
                del holder[field]
        return plain


def make_result(
    *,
    name: str,
    scores: Mapping[str, TaskScore],
    suite: SuiteIdentity,
    training: TrainingSummary,
    data: DataSummary,
    records: Sequence[Record],
    track: Track = "none",
    perplexity: Mapping[str, TextScore] | None = None,
    limited: int | None = None,
    imported: str | None = None,
    evaluation_only: bool = False,
    core_v2_stderr: float | None = None,
    extended_v2_stderr: float | None = None,
    core_bpb_stderr: float | None = None,
    provenance: Mapping[str, object] | None = None,
) -> Result:
    """The result of an experiment whose artifacts have `records`, in the order pool → … → scores."""
    means = aggregate({task: score.score for task, score in scores.items()})
    bits = core_bpb(scores)
    return Result(
        name=name,
        track=track,
        scores=dict(sorted(scores.items())),
        core_v1=means.core.v1,
        core_v2=means.core.v2,
        extended_v1=means.extended.v1,
        extended_v2=means.extended.v2,
        core_v2_stderr=None if means.core.v2 is None else core_v2_stderr,
        extended_v2_stderr=None if means.extended.v2 is None else extended_v2_stderr,
        core_bpb=bits,
        core_bpb_stderr=None if bits is None else core_bpb_stderr,
        missing=means.extended.missing,
        perplexity=dict(sorted((perplexity or {}).items())),
        limited=limited,
        suite=suite,
        training=training,
        data=data,
        chain=tuple(link_of(record) for record in records),
        incomplete=tuple(f"{r.kind} {r.name}: {part}" for r in records for part in r.missing),
        imported=imported,
        evaluation_only=evaluation_only,
        provenance=provenance or {},
    )


def core_bpb(scores: Mapping[str, TaskScore]) -> float | None:
    """Mean bits per byte over the tasks of CORE; None if one of them has none."""
    measures = [s.continuous.get(BITS) if (s := scores.get(task)) is not None else None for task in core_labels()]
    known = [measure.value for measure in measures if measure is not None]
    return math.fsum(known) / len(known) if len(known) == len(measures) else None


@functools.cache
def core_labels() -> tuple[str, ...]:
    """The tasks of CORE."""
    return load_suite("core").labels


def link_of(record: Record) -> Link:
    """The entry of an artifact in a result's chain."""
    items = {f.path: f.sha256 for f in record.files if record.kind == "scores" and f.path == ITEMS_FILE}
    return Link(
        kind=record.kind,
        name=record.name,
        fingerprint=record.fingerprint,
        inputs=record.inputs,
        content=items,
        digest=record.digest,
    )


def write_result(path: Path | str, result: Result) -> None:
    """Write result.json atomically."""
    text = json.dumps(result.to_json(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    put(path, f"{text}\n".encode())


def parse_result(data: bytes, name: str) -> Result:
    """The result in `data`, checked against the schema but not for its meaning (see `dclm.board.validate`).

    Raises: DataError naming every deviation from the schema; `name` is the file's name in errors.
    """
    return _build(check_schema(load_json(data, name), name), name)


def parse_stored(data: bytes, name: str) -> Result:
    """The result in `data`, which was checked against the schema when it was stored. Raises: DataError."""
    return _build(check_plain(load_json(data, name), name), name)


def _build(value: object, name: str) -> Result:
    try:
        return build(Result, Source(name, value, {}))
    except ConfigError as error:  # the schema accepts values that the fields do not: the data is wrong, not the caller
        raise DataError(*error.problems[0], others=error.problems[1:]) from None


def read_result(path: Path | str) -> Result:
    """The result at a local path or fsspec URL. Raises: DataError like `parse_result`."""
    with open_input(path) as handle:
        return parse_result(handle.read(MAX_RESULT_BYTES + 1), str(path))
