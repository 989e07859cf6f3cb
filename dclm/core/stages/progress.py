"""Progress of long work: units done and items, and nothing more. The CLI draws it; tests ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one piece of work at a time."""

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        """Begin `label`, with `total` units to do (None: unknown)."""

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        """`units` more are done; they contained `items` (documents, tokens …)."""

    def finish(self) -> None:
        """The most recently begun piece of work has ended."""


class NullProgress:
    """Discards all progress."""

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        pass

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        pass

    def finish(self) -> None:
        pass
