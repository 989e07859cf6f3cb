"""Options and drawings that several commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dclm.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(command: F) -> F:
    """`--on local|ray[:ADDRESS]` and `--workers N`."""
    command = click.option(
        "--workers",
        type=click.IntRange(1),
        help="Units of work at once. Default: one a core. Never changes the output.",
    )(command)
    return click.option(
        "--on", default="local", show_default=True, metavar="local|ray[:ADDRESS]", help="Where the units run."
    )(command)


def named_models(models: Sequence[str]) -> dict[str, Path]:
    """The values of `--model NAME=PATH`, by name. Raises: ConfigError for other forms."""
    named: dict[str, Path] = {}
    for item in models:
        name, separator, path = item.partition("=")
        if not separator:
            raise ConfigError(f"--model {item}", "allowed: NAME=PATH")
        named[name] = Path(path)
    return named


class ConsoleProgress:
    """Draws progress on stderr where that is a terminal, and is quiet elsewhere.

    Work of under two seconds leaves no trace.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._started = 0.0
        self._items = 0

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        """See `dclm.progress.Progress`."""
        self._started, self._items = time.monotonic(), 0
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
            TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=self._console,
            transient=True,
        )  # fmt: skip
        self._progress.start()
        self._task = self._progress.add_task(label, total=total, rate="")

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        """See `dclm.progress.Progress`."""
        self._items += items
        if self._progress is None or self._task is None:
            return
        elapsed = time.monotonic() - self._started
        rate = note or (f"{self._items / elapsed:,.0f} documents/s" if self._items and elapsed > 0.5 else "")
        self._progress.update(self._task, advance=units, rate=rate)

    def finish(self) -> None:
        """See `dclm.progress.Progress`."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._task = None, None


def say(text: str) -> None:
    """A line for the user on stderr; stdout is for data."""
    print(text, file=sys.stderr)
