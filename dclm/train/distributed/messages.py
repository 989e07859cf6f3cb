"""Messages between the driver of a run and its ranks on other machines, which may not share any storage."""

from __future__ import annotations

import time
from typing import Any, Literal

Topic = Literal["stop", "saved", "reached"]
"""`stop`: the signal that the driver has received. `saved`: where the checkpoint is with which the ranks ended because
of it, and how to continue. `reached`: the number of updates done, and the note of the last one."""
EVERY_SECONDS = 0.5
"""Least time between two reports of progress."""


class Messages:
    """The last message on each topic. The driver and the ranks hold the same object, or a `Messages` that asks it."""

    def __init__(self) -> None:
        self._last: dict[Topic, Any] = {}

    def tell(self, topic: Topic, message: Any) -> None:
        """Replace the last message on this topic."""
        self._last[topic] = message

    def last(self, topic: Topic) -> Any:
        """The last message on this topic; None: there was none."""
        return self._last.get(topic)


class ReportedProgress:
    """A rank's progress, reported to the driver: at most every `EVERY_SECONDS`, and at the end."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._step, self._note = 0, ""
        self._told = float("-inf")

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        self._step = 0

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        self._step += units
        self._note = note or self._note
        if time.monotonic() - self._told >= EVERY_SECONDS:
            self._report()

    def finish(self) -> None:
        self._report()

    def _report(self) -> None:
        self._messages.tell("reached", (self._step, self._note))
        self._told = time.monotonic()
