"""What long work tells the one who waits: units done, items, and nothing more. The CLI draws it; tests ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one piece of work at a time."""

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        """Begin `label`, with `total` units to come (None: unknown)."""

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        """`units` more are done, in which there were `items` (documents, tokens …)."""

    def finish(self) -> None:
        """The work begun last has ended."""


class NullProgress:
    """Progress that goes nowhere."""

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        pass

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        pass

    def finish(self) -> None:
        pass
