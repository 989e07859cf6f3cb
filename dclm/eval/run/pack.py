"""Texts read together in one row: each token sees only its own beginning, which other texts may share.

Nothing is padded or copied, and no beginning is read twice, however many texts have it. In return, attention is
computed over the whole row, so that rows are short.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dclm.eval.run.tree import Branch, Pair, Want, plan

PACK_TOKENS = 192
"""Maximum number of tokens in a row of texts of several items, most of which see few of the others."""
SHARED_TOKENS = 1024
"""Maximum number of tokens in a row of texts that share most of theirs."""


class Pack:
    """A trie of tokens; a token's slot comes after that of the token before it."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        """Number of tokens before each, in its text."""
        self.wants: list[Want] = []
        """Their `position` is a slot."""
        self._before: list[int] = []
        self._slots: dict[tuple[int, int], int] = {}

    def add(self, run: Branch, before: int = -1) -> None:
        """Add a run, after the token in slot `before`, and its descendants."""
        slots = []
        for token in run.tokens:
            slot = self._slots.setdefault((before, token), len(self.tokens))
            if slot == len(self.tokens):
                self.tokens.append(token)
                self.positions.append(self.positions[before] + 1 if before >= 0 else 0)
                self._before.append(before)
            slots.append(before := slot)
        self.wants += [dataclasses.replace(want, position=slots[want.position]) for want in run.wants]
        for child in run.children:
            self.add(child, before)

    def missing(self, run: Branch, before: int | None = -1) -> int:
        """Number of tokens by which `add` would lengthen the row, at most: children that share tokens count twice."""
        count = 0
        for token in run.tokens:
            before = None if before is None else self._slots.get((before, token))
            count += before is None
        return count + sum(self.missing(child, before) for child in run.children)

    def seen(self) -> NDArray[np.bool_]:
        """[T, T], True in row i and column j if token i sees token j."""
        seen = np.eye(len(self.tokens), dtype=np.bool_)
        for slot, before in enumerate(self._before):
            if before >= 0:
                seen[slot] |= seen[before]
        return seen


def pack(forest: Sequence[Branch]) -> tuple[list[Pack], list[Branch]]:
    """Rows, longest first, and the runs that are too long for one with all below them."""
    packs: list[Pack] = []
    others = []
    for run in sorted(forest, key=lambda run: run.tokens):  # beginnings are shared by neighbors
        if run.count() > (SHARED_TOKENS if run.children else PACK_TOKENS):
            others.append(run)
            continue
        if not packs or len(packs[-1].tokens) + packs[-1].missing(run) > PACK_TOKENS:
            packs.append(Pack())
        packs[-1].add(run)
    return sorted(packs, key=lambda p: len(p.tokens), reverse=True), others


def least_tokens(items: Sequence[Sequence[Pair]]) -> int:
    """The minimum number of tokens that any method must forward for `items`: each beginning of a text once."""
    everything = Pack()
    for run in plan(items):
        everything.add(run)
    return len(everything.tokens)
