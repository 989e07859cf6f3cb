"""The inputs and outputs of conversion: a mapper's arguments, steps of ours, and the error for what has no
equivalent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """One step of a pipeline of ours."""

    step: str
    fields: Mapping[str, object]


class Inexpressible(Exception):
    """A mapper, or one of its arguments, that has no equivalent here."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.hint = hint


@dataclasses.dataclass
class Arguments:
    """The arguments of one mapper; remembers which were read, so that none is silently ignored."""

    func: str
    values: Mapping[str, object]
    notes: list[str] = dataclasses.field(default_factory=list)
    _read: set[str] = dataclasses.field(default_factory=set)

    def get(self, name: str, default: object = None) -> object:
        """An argument, or DCLM's default for it."""
        self._read.add(name)
        return self.values.get(name, default)

    def words(self, name: str = "banlist") -> list[str]:
        """A string, or a list of strings, as a list."""
        value = self.get(name)
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise self.reject(name, "text or a list of texts")
        return words

    def reject(self, name: str, allowed: str) -> Inexpressible:
        """The error for an argument whose value cannot be expressed."""
        return Inexpressible(f"`{self.func}`: found {name}: {self.values.get(name)!r:.60}, allowed: {allowed}")

    def require(self, name: str, default: object, allowed: Sequence[object]) -> None:
        """Refuse values of an argument whose effect no step here has."""
        if self.get(name, default) not in allowed:
            raise self.reject(name, " or ".join(map(str, allowed)))

    def check_all_read(self) -> None:
        """Raises Inexpressible for an argument that was never read."""
        for name in self.values:
            if name.startswith("_"):
                self.notes.append(f"`{name}` is not needed, because the report has histograms of every column")
            elif name not in self._read:
                raise Inexpressible(f"`{self.func}` has an unknown argument `{name}`")
