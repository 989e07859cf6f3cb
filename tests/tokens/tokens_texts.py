"""Texts for the tests of tokens."""

from __future__ import annotations

WORDS = (
    *["the", "a", "of", "to", "in", "and", "banana", "river", "stone", "quick", "slow", "deep", "learning", "token"],
    *["naïve", "café", "日本", "don't", "we'll", "42"],
)


def make_text(index: int, length: int) -> str:
    """Words that depend only on `index`."""
    return " ".join(WORDS[(index * 7 + k * k * 3 + k) % len(WORDS)] for k in range(length))


def make_shards(documents: int, shards: int) -> list[list[str]]:
    """Documents of 0 to 90 words, dealt to shards in order; the second shard is empty if there are three or more."""
    texts = [make_text(i, (i * 37) % 91) for i in range(documents)]
    filled = [k for k in range(shards) if shards < 3 or k != 1]
    out: list[list[str]] = [[] for _ in range(shards)]
    for place, text in enumerate(texts):
        out[filled[place * len(filled) // max(1, documents)]].append(text)
    return out
