"""`result.json`: what one experiment scored, what it was made of, and the fingerprints of the whole chain."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dclm.board.conform import check_plain, check_schema
from dclm.core.config import Source, build
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record
from dclm.core.storage import open_input
from dclm.core.store import put
from dclm.eval.aggregate import aggregate

SCHEMA_VERSION = 1
ITEMS_FILE = "items.parquet"
"""The scores artifact's table of items."""
MAX_RESULT_BYTES = 1 << 20  # a full result has about 30 kB
Setting = bool | int | float | str | None
"""The value of a hyper-parameter."""
Track = Literal["filtering", "mixing", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskScore:
    """A model's accuracy on one task."""

    score: float
    """Fraction of the items that are right (for `mmlu` and its like: mean over the categories)."""
    n: int | None = None
    """Items scored; null where the source does not say."""
    stderr: float | None = None
    """Standard error of `score`."""
    clean_n: int | None = None
    """Of the items scored, those that the training documents do not hold; null where nobody looked."""
    clean_score: float | None = None
    """Fraction right of those."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScore:
    """What a named text costs a model."""

    bits_per_byte: float
    stderr: float | None
    """Standard error, documents being the sample; null where a single document tells nothing of it."""
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteIdentity:
    """Which questions were asked."""

    name: str
    version: int
    hash: str | None = None
    """sha256 over everything in the suite that bears on a score; null for imported results."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """How the model was trained."""

    scale: str
    params: int | None = None
    """Trainable parameters."""
    tokens: int | None = None
    """Tokens seen, repeats included."""
    flops: float | None = None
    """6 · params · tokens, as the benchmark counts."""
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
    """The hyper-parameters that were used, by dotted name (`learning_rate`, `model.hidden_dim`, …); empty where the
    result does not say."""
    seed: int | None = None
    final_loss: float | None = None
    """Cross-entropy in nats per token over the last steps."""
    validation_loss: float | None = None
    """The same on held-out clean text."""
    deviations: tuple[str, ...] = ()
    """What was not as the scale says; empty: a run of the benchmark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSummary:
    """Where the tokens came from."""

    pools: tuple[str, ...] = ()
    pipeline: str | None = None
    counts: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """For each source: documents read, kept, dropped and rejected, and what its steps decided over all documents
    (clusters of duplicates; of `decontaminate` the items found of each task)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One artifact of the chain."""

    kind: str
    name: str
    fingerprint: str
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Role → fingerprint of what went in."""
    content: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the scores: file → sha256 of the items from which the aggregates can be computed anew."""
    digest: str = ""
    """Of the artifact's record: all that it holds and counts. Empty in results of earlier versions."""


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
    missing: tuple[str, ...] = ()
    """Tasks of EXTENDED without a score. A mean with a missing task is null."""
    perplexity: Mapping[str, TextScore] = dataclasses.field(default_factory=dict)
    """By text of eval_suite/texts."""
    limited: int | None = None
    """Items per task at most, where there was a limit: then no benchmark score, only a sketch of one."""
    suite: SuiteIdentity
    training: TrainingSummary
    data: DataSummary = dataclasses.field(default_factory=DataSummary)
    chain: tuple[Link, ...] = ()
    """From pool to scores."""
    incomplete: tuple[str, ...] = ()
    """Parts that are missing somewhere along the chain."""
    imported: str | None = None
    """Where the numbers were taken from, if not from a run of this tool; then there is no chain."""
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Versions, host, times; nothing that identifies the result."""

    @functools.cached_property
    def id(self) -> str:
        """Content hash without provenance: the same numbers from the same chain have the same id."""
        content = self.to_json()
        del content["provenance"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def to_json(self) -> dict[str, object]:
        """Plain values, as they stand in the file."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        links = [(link, field) for link in plain["chain"] for field in ("content", "digest")]
        for holder, field in ((plain["training"], "settings"), *links):
            if not holder[field]:  # unsaid: the ids of results made before there was such a field stay as they are
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
    core_v2_stderr: float | None = None,
    extended_v2_stderr: float | None = None,
    provenance: Mapping[str, object] | None = None,
) -> Result:
    """The result of an experiment whose artifacts have `records`, in the order pool → … → scores.

    CORE and EXTENDED are computed here from `scores`. Raises: DataError if a score is not in [0, 1].
    """
    means = aggregate({task: score.score for task, score in scores.items()})
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
        missing=means.extended.missing,
        perplexity=dict(sorted((perplexity or {}).items())),
        limited=limited,
        suite=suite,
        training=training,
        data=data,
        chain=tuple(link_of(record) for record in records),
        incomplete=tuple(f"{r.kind} {r.name}: {part}" for r in records for part in r.missing),
        imported=imported,
        provenance=provenance or {},
    )


def link_of(record: Record) -> Link:
    """What a result's chain says of an artifact."""
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

    Raises: DataError naming every deviation from the schema; `name` stands for the file.
    """
    return _build(check_schema(load_json(data, name), name), name)


def parse_stored(data: bytes, name: str) -> Result:
    """The result in `data`, which was checked against the schema when it was stored. Raises: DataError."""
    return _build(check_plain(load_json(data, name), name), name)


def _build(value: object, name: str) -> Result:
    try:
        return build(Result, Source(name, value, {}))
    except ConfigError as error:  # the schema lets through what the fields do not: data is wrong, not the caller
        raise DataError(*error.problems[0], others=error.problems[1:]) from None


def read_result(path: Path | str) -> Result:
    """The result at a local path or fsspec URL. Raises: DataError as `parse_result` does."""
    with open_input(path) as handle:
        return parse_result(handle.read(MAX_RESULT_BYTES + 1), str(path))


def load_json(data: bytes, name: str) -> object:
    """JSON without NaN and without repeated keys. Raises: DataError."""
    if len(data) > MAX_RESULT_BYTES:
        raise DataError(name, f"more than {MAX_RESULT_BYTES} bytes, which no result needs")
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DataError(name, f"not valid JSON: {str(error) or 'nested too deeply'}") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
