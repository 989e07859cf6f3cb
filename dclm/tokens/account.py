"""The token account of a tokens artifact: where every token went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
) -> dict[str, object]:
    """Where every token went: BOS + text + EOT + padding + repeated - unused = sequences × (seq_len + 1).

    `tokens` are those that are read; `distinct_tokens` counts each once.
    """
    flat = [p for source in packed for p in source]
    documents = sum(p.documents for p in flat)
    taken, distinct = (sum(s.taken for s in sources), sum(s.distinct for s in sources))
    account: dict[str, object] = {
        "documents": documents,
        "unread_documents": sum(p.unread_documents for p in flat),
        "document_reads": sum(p.document_reads for p in flat),
        "text_bytes": sum(p.text_bytes for p in flat),
        "text_tokens": sum(p.text_tokens for p in flat),
        "bos_tokens": documents if with_bos else 0,
        "eot_tokens": documents,
        "padding_tokens": sum(p.padding_tokens for p in flat),
        "dropped_tokens": 0,
        "unused_tokens": sum(s.available - s.distinct for s in sources) * row_len,
        "repeated_tokens": (taken - distinct) * row_len,
        "distinct_tokens": distinct * row_len,
        "sequences": taken,
        "tokens": taken * row_len,
        "sources": [
            {"name": s.name, "sequences": s.available, "distinct": s.distinct, "taken": s.taken} for s in sources
        ],
    }
    if len(phases) > 1:
        names = [s.name for s in sources]
        account["phases"] = [dict(zip(names, rows, strict=True)) for rows in phases]
    return account
