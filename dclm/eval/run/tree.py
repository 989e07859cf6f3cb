"""What must be forwarded to score some answers, each token once: a forest of token runs.

The pairs (context, answer) of an item share their context, and items may share a passage or their examples. A run is
read once, and its children continue from its cache. An answer's last token is never read: nothing is predicted from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dclm.eval.tokenizer import Ids

Pair = tuple[Ids, Ids]
"""A context and the answer that is scored after it."""

SHARED_MINIMUM = 48
"""Items are grouped if they share at least this many tokens at the beginning; for fewer, a further pass costs more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Want:
    """One prediction to read: after token `position` of a run, how likely is `target`?"""

    position: int
    target: int
    item: int
    pair: int
    token: int
    """Index in the pair's answer."""


@dataclasses.dataclass(kw_only=True)
class Branch:
    """Tokens read at once after those of the parent."""

    tokens: Ids
    wants: list[Want] = dataclasses.field(default_factory=list)
    children: list[Branch] = dataclasses.field(default_factory=list)

    def count(self) -> int:
        """Number of tokens in the run and all its descendants."""
        return len(self.tokens) + sum(child.count() for child in self.children)


@dataclasses.dataclass(frozen=True)
class _Sequence:
    """Tokens of one pair without the answer's last one, and the positions of its predictions."""

    tokens: Ids
    item: int
    pair: int
    answer: Ids

    @property
    def first(self) -> int:
        return len(self.tokens) - len(self.answer)


def plan(items: Sequence[Sequence[Pair]], share: bool = True) -> list[Branch]:
    """The forest for `items`. Without `share`, each text of an item is a separate run, and no cache is needed."""
    sequences = [
        [_Sequence(context + answer[:-1], i, p, answer) for p, (context, answer) in enumerate(pairs)]
        for i, pairs in enumerate(items)
    ]
    if not share:
        return [run for group in sequences for run in _texts(group, 0)]
    forest = []
    for group in _groups(sequences):
        if len(group) == 1:
            forest += _runs(group[0], 0)
            continue
        flat = [sequence for item in group for sequence in item]
        shared = _common(flat)
        root = Branch(tokens=flat[0].tokens[:shared])
        root.wants = _wants(flat, 0, shared)
        root.children = [run for item in group for run in _runs(item, shared)]
        forest.append(root)
    return forest


def alike(texts: Sequence[Ids]) -> list[tuple[Ids, list[int]]]:
    """Texts, by number, in groups that share at least SHARED_MINIMUM tokens; before each group, what its texts share.

    A text without such others is a group, and shares nothing.
    """
    groups = []
    for group in _groups([[_Sequence(text, number, 0, ())] for number, text in enumerate(texts)]):
        sequences = [sequence for item in group for sequence in item]
        shared = sequences[0].tokens[: _common(sequences)] if len(sequences) > 1 else ()
        groups.append((shared, [sequence.item for sequence in sequences]))
    return groups


def _runs(sequences: list[_Sequence], start: int) -> list[Branch]:
    """One item's run from token `start` on: what its pairs share, and below it the rest of each.

    Pairs that share nothing there, such as two contexts with different first words, are separate runs.
    """
    end = _common(sequences)
    run = Branch(tokens=sequences[0].tokens[start:end], wants=_wants(sequences, start, end))
    run.children = _texts([sequence for sequence in sequences if len(sequence.tokens) > end], end)
    return [run] if run.tokens else run.children


def _texts(sequences: list[_Sequence], start: int) -> list[Branch]:
    """A run for each distinct text of an item, from token `start` on; a text that is the beginning of another is read
    with that one."""
    runs: list[Branch] = []
    for s in sorted(sequences, key=lambda s: len(s.tokens), reverse=True):
        tail = s.tokens[start:]
        run = next((run for run in runs if run.tokens[: len(tail)] == tail), None)
        if run is None:
            runs.append(run := Branch(tokens=tail))
        run.wants += _wants([s], start, len(s.tokens))
    return runs


def _wants(sequences: list[_Sequence], start: int, end: int) -> list[Want]:
    """The predictions at tokens [start, end) of the sequences."""
    wants = []
    for s in sequences:
        for token, target in enumerate(s.answer):
            position = s.first + token
            if start <= position < end:
                wants.append(Want(position=position - start, target=target, item=s.item, pair=s.pair, token=token))
    return wants


def _common(sequences: Sequence[_Sequence]) -> int:
    """Number of tokens with which all sequences begin."""
    low = min(sequences, key=lambda s: s.tokens).tokens
    high = max(sequences, key=lambda s: s.tokens).tokens
    return _common_length(low, high)


def _common_length(a: Ids, b: Ids) -> int:
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    low, high = 0, length  # a[:low] equal, a[:high] not
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _groups(sequences: list[list[_Sequence]]) -> list[list[list[_Sequence]]]:
    """Groups of items that are adjacent in token order and share most of what the first two of them share."""
    order = sorted(sequences, key=lambda item: item[0].tokens)
    groups: list[list[list[_Sequence]]] = []
    shared = 0
    for item in order:
        if groups:
            common = _common([*groups[-1][-1], *item])
            if len(groups[-1]) == 1:
                joins = common >= SHARED_MINIMUM
                shared = common
            else:
                joins = common >= max(SHARED_MINIMUM, shared // 2)
                shared = min(shared, common) if joins else 0
            if joins:
                groups[-1].append(item)
                continue
        groups.append([item])
    return groups
