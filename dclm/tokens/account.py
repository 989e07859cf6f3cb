"""The token account of a tokens artifact: where every token went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dclm.core.counts import TokensCounts
from dclm.tokens.pack import Packed


class SourceRows(NamedTuple):
    """The rows of one source."""

    name: str
    available: int
    """Rows, each counted once."""
    distinct: int
    """Rows that are read at least once."""
    taken: int
    """Rows that are read, each as often as it is read."""


def token_account(
    packed: Sequence[Sequence[Packed]],
    sources: Sequence[SourceRows],
    phases: Sequence[Sequence[int]],
    row_len: int,
    with_bos: bool,
) -> TokensCounts:
    """The counts of tokens that have been packed and mixed. row_len: context length + 1."""
    flat = [p for source in packed for p in source]
    documents = sum(p.documents for p in flat)
    taken, distinct = (sum(s.taken for s in sources), sum(s.distinct for s in sources))
    names = [s.name for s in sources]
    return TokensCounts(
        sequences=taken,
        tokens=taken * (row_len - 1),
        ids=taken * row_len,
        distinct_tokens=distinct * (row_len - 1),
        documents=documents,
        unread_documents=sum(p.unread_documents for p in flat),
        document_reads=sum(p.document_reads for p in flat),
        text_bytes=sum(p.text_bytes for p in flat),
        text_ids=sum(p.text_tokens for p in flat),
        bos_ids=documents if with_bos else 0,
        eot_ids=documents,
        padding_ids=sum(p.padding_tokens for p in flat),
        unused_ids=sum(s.available - s.distinct for s in sources) * row_len,
        repeated_ids=(taken - distinct) * row_len,
        sources=tuple(
            {"name": s.name, "sequences": s.available, "distinct": s.distinct, "taken": s.taken} for s in sources
        ),
        phases=tuple(dict(zip(names, rows, strict=True)) for rows in phases) if len(phases) > 1 else (),
    )
