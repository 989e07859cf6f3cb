"""The counts in the record of each kind of artifact: one name and one unit for each number, also in result.json.

A count that is not known is null. Tokens are positions that a model is trained on, unless a field says that it counts
ids.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from dclm.core.errors import IncompleteError
from dclm.core.record import Kind, Record

Names = Mapping[str, object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Base of the counts of all kinds."""

    def plain(self) -> dict[str, object]:
        """The counts as a record has them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolCounts(Counts):
    """Counts of a pool that was generated or published."""

    records: int
    without_page: int | None = None
    """Documents that refer to no page of a crawl; null for generated pools."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentsCounts(Counts):
    """Counts of documents: read = kept + dropped + rejected."""

    read: int
    """Records of the pool that could be a document."""
    kept: int
    dropped: int
    """Documents that a step decided against."""
    rejected: int
    """Records that could not be read or processed."""
    skipped: Mapping[str, int]
    """Kind of record that is not a document (`warcinfo`, `request`, …) → how many."""
    partial: Mapping[str, int]
    """Reason → documents of which only a part could be read."""
    fields: Mapping[str, int]
    """Column of the pool → documents that have a value; `documents`: all of them."""
    unread: Names
    """`files`: number of files next to those of the pool that were not read; `names`: the first of them."""
    steps: tuple[Mapping[str, Any], ...]
    """One entry per step, in order; see `dclm.curate.output.tally.StepCount`."""
    decisions: Names
    """Index and name of a step that decides over all documents → what it found."""
    pool_bytes: int
    """Size of the pool's files."""
    overlaps: Names | None = None
    """What the sources of a recipe have in common, as `dclm.documents.overlaps.Overlaps`; null for a single source."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokensCounts(Counts):
    """Counts of tokens: ids of BOS + text + EOT + padding + repeated - unused = sequences × (context length + 1).

    Tokens that were imported state only what their files show.
    """

    sequences: int
    """Rows, each as often as it is read."""
    tokens: int
    """sequences × context length: what one pass trains on, as `tokens` of a training run."""
    ids: int
    """sequences × (context length + 1): the ids in the files; neighboring rows share none."""
    distinct_tokens: int | None = None
    """Like `tokens`, with each row counted once."""
    documents: int | None = None
    unread_documents: int | None = None
    """Documents that no pass reads."""
    document_reads: int | None = None
    """Documents, each as often as it is read."""
    text_bytes: int | None = None
    """UTF-8 bytes of the documents."""
    text_ids: int | None = None
    bos_ids: int | None = None
    eot_ids: int | None = None
    padding_ids: int | None = None
    unused_ids: int | None = None
    """Ids in rows that are not read."""
    repeated_ids: int | None = None
    """Ids in rows that have been read before."""
    sources: tuple[Names, ...] = ()
    """By source: `name`, `sequences` (rows that it has), `distinct` (those that are read), `taken` (all reads)."""
    phases: tuple[Mapping[str, int], ...] = ()
    """By phase of a curriculum: source → rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointCounts(Counts):
    """Counts of a training run."""

    params: int
    """Trainable parameters."""
    published_params: int
    """Parameters as DCLM counts them, without the gains of norms of queries and keys."""
    steps: int
    """Updates."""
    tokens: int
    """Tokens seen, with repeats."""
    available_tokens: int
    """Tokens of one pass over the data."""
    flops: int
    """6 · published parameters · tokens, as counted by the benchmark."""
    flops_with_attention: int
    """The model's own: with attention, without embedding."""
    final_loss: float
    """Cross-entropy in nats per token over the last updates."""
    unigram_entropy: float
    """Entropy of single tokens in nats: the loss of a model that knows only their frequencies."""
    validation_loss: float | None
    """Cross-entropy on held-out text."""
    validation_bits_per_byte: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoresCounts(Counts):
    """Counts of an evaluation."""

    tokens_forwarded: int
    """Tokens that went through the model, without padding."""
    tokens_padding: int
    items: int
    tasks: int
    missing: Mapping[str, str]
    """Task without a score → the reason."""


COUNTS: Mapping[Kind, type[Counts]] = {
    "pool": PoolCounts,
    "documents": DocumentsCounts,
    "tokens": TokensCounts,
    "checkpoint": CheckpointCounts,
    "scores": ScoresCounts,
}
"""The kinds whose counts are the same for every artifact. Those of classifiers, models and indexes depend on what was
made."""

C = TypeVar("C", bound=Counts)


def counts_of(record: Record, kind: type[C]) -> C:
    """The counts in a record.

    Raises: IncompleteError if one is missing, unknown or of another type: the record was made by another version.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in record.counts:
            value = record.counts[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
            if not _fits(values[field.name], hints[field.name]):
                raise _foreign(record, f"its count `{field.name}` is {value!r:.40}")
        elif field.default is dataclasses.MISSING:
            raise _foreign(record, f"its counts have no `{field.name}`")
    if unknown := sorted(record.counts.keys() - values.keys()):
        raise _foreign(record, f"this version has no count `{unknown[0]}`")
    return kind(**values)


def _foreign(record: Record, what: str) -> IncompleteError:
    return IncompleteError(f"{record.kind} {record.name}", what, "make it again with this version")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value of JSON has the type of a field; of maps and lists, only that they are such."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    origin = typing.get_origin(hint) or hint
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, Mapping if origin is Mapping or hint == Names else origin)
