"""A small generative grammar: templates with slots and choices, expanded from a seeded source without much repetition.

A template is text with `{slot}`, which takes the next entry of that list in the lexicon, and `[one|other|]`, which
takes one of the alternatives (choices nest). Entries may be templates themselves.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

Lexicon = Mapping[str, Sequence[str]]
_TOKEN = re.compile(r"[\[\]|]|\{(\w+)\}|[^\[\]|{]+")
_ARTICLE = re.compile(
    r"\b([Aa]) (?=[aeiou](?!ne\b|ni[^n]|se|ur))"
)  # "a" before a vowel that is not pronounced as a consonant
_SENTENCE_START = re.compile(r"(?:^|(?<=[.!?] ))([a-zа-яàäöüéèêñáíóú])")

Node = str | tuple[str] | list["Branch"]
"""Literal text, `(slot,)`, or the alternatives of a choice."""
Branch = list[Node]


class Speaker:
    """Expands templates. The entries of a slot are dealt like cards: none is repeated before all have been used."""

    def __init__(self, rng: random.Random, lexicon: Lexicon) -> None:
        self.rng = rng
        self.lexicon = lexicon
        self._decks: dict[str, list[str]] = {}

    def say(self, slot: str) -> str:
        """The next entry of `slot`, expanded, with articles and capitals corrected."""
        text = _ARTICLE.sub(r"\1n ", self._expand(_parse(self._draw(slot))))
        return _SENTENCE_START.sub(lambda found: found[1].upper(), text)

    def _draw(self, slot: str) -> str:
        deck = self._decks.get(slot)
        if not deck:
            deck = list(self.lexicon[slot])
            self.rng.shuffle(deck)
            self._decks[slot] = deck
        return deck.pop()

    def _expand(self, nodes: Branch) -> str:
        out = []
        for node in nodes:
            if isinstance(node, str):
                out.append(node)
            elif isinstance(node, tuple):
                entry = self._draw(node[0])
                out.append(self._expand(_parse(entry)) if "{" in entry or "[" in entry else entry)
            else:
                out.append(self._expand(node[int(self.rng.random() * len(node))]))
        return "".join(out)


@cache
def _parse(template: str) -> Branch:
    stack: list[list[Branch]] = [[[]]]
    for token in _TOKEN.finditer(template):
        text = token[0]
        if text == "[":
            stack.append([[]])
        elif text == "]":
            choice = stack.pop()
            stack[-1][-1].append(choice)
        elif text == "|":
            stack[-1].append([])
        else:
            stack[-1][-1].append((token[1],) if token[1] else text)
    assert [len(level) for level in stack] == [1], f"unbalanced template: {template}"
    return stack[0][0]
