"""The texts of several extractors joined: text that one of them missed may have been found by another."""

from __future__ import annotations

from collections.abc import Sequence

_SHINGLE_WORDS = 5


def union(texts: Sequence[str]) -> str:
    """The first text, followed by the lines of the others that it does not contain.

    A line is contained if all its word 5-grams are (or, if it is shorter, if a line of the same words is), with case
    and punctuation unchanged. Time is linear in the length of the texts.
    """
    first, *others = texts
    seen: set[tuple[str, ...]] = set()
    for line in first.split("\n"):
        seen.update(_shingles(line.split()))
    added: list[str] = []
    for text in others:
        for line in text.split("\n"):
            shingles = _shingles(line.split())
            if shingles and not seen.issuperset(shingles):
                added.append(line)
                seen.update(shingles)
    return "\n".join([first, *added] if first else added)


def _shingles(words: list[str]) -> list[tuple[str, ...]]:
    if len(words) <= _SHINGLE_WORDS:
        return [tuple(words)] if words else []
    return [tuple(words[i : i + _SHINGLE_WORDS]) for i in range(len(words) - _SHINGLE_WORDS + 1)]
