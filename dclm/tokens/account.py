"""The token account of a tokens artifact: where every token went."""

from __future__ import annotations

from collections.abc import Sequence

from dclm.tokens.pack import Packed


def token_account(
    packed: Sequence[Sequence[Packed]],
    names: Sequence[str],
    available: Sequence[int],
    taken: Sequence[int],
    row_len: int,
    with_bos: bool,
) -> dict[str, object]:
    """Where every token went: BOS + text + EOT + padding + repeated - unused = sequences × (seq_len + 1)."""
    flat = [p for source in packed for p in source]
    documents = sum(p.documents for p in flat)
    gain = [(take - have) * row_len for take, have in zip(taken, available, strict=True)]
    return {
        "documents": documents,
        "text_bytes": sum(p.text_bytes for p in flat),
        "text_tokens": sum(p.text_tokens for p in flat),
        "bos_tokens": documents if with_bos else 0,
        "eot_tokens": documents,
        "padding_tokens": sum(p.padding_tokens for p in flat),
        "dropped_tokens": 0,
        "unused_tokens": -sum(g for g in gain if g < 0),
        "repeated_tokens": sum(g for g in gain if g > 0),
        "sequences": sum(taken),
        "tokens": sum(taken) * row_len,
        "sources": [
            {"name": name, "sequences": have, "taken": take}
            for name, have, take in zip(names, available, taken, strict=True)
        ],
    }
