"""Options and progress display shared by several commands."""

from __future__ import annotations

import atexit
import datetime
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

from dclm.cli.shared.answers import put_artifact
from dclm.cli.shared.output import current, open_console, plain, put, put_result, say, visible
from dclm.core.errors import ConfigError

__all__ = [
    "ADDRESS", "LOCAL_PATH", "ConsoleProgress", "engine_options", "env_option", "force_option", "named_models",
    "open_console", "plain", "put", "put_artifact", "put_result", "replace_option", "say", "trust_option", "visible",
    "wait_option",
]  # fmt: skip
F = TypeVar("F", bound=Callable[..., Any])


class Address(click.ParamType[str]):
    """A local path or a storage URL, as text."""

    name = "path or URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


class LocalPath(click.Path):
    """A local path. A URL is refused before any work starts, because it would become a folder of that name."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" in str(value):
            self.fail(f"found the URL {value}, allowed here: a local path", param, ctx)
        return super().convert(value, param, ctx)


ADDRESS = Address()
LOCAL_PATH = LocalPath()


def engine_options(command: F) -> F:
    """`--on local|ray[:ADDRESS]` and `--workers N`."""
    command = click.option(
        "--workers",
        type=click.IntRange(1),
        help="Number of units to run at once. Default: one per core. Never changes the output.",
    )(command)
    return click.option(
        "--on", default="local", show_default=True, metavar="local|ray[:ADDRESS]", help="Where to run the units."
    )(command)


env_option = click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME",
    help="Allow the file to use this environment variable, including in URLs; repeatable.",
)
trust_option = click.option(
    "--trust", is_flag=True, help="Allow the pipeline to run the code of its own steps (FILE:NAME)."
)
force_option = click.option("--force", is_flag=True, help="Replace an existing file.")
cache_option = click.option(
    "--cache",
    type=ADDRESS,
    help="Directory for work that later runs reuse: after a change of a step, what lies before it is not done again. "
    "Never changes the output.",
)
replace_option = click.option(
    "--force", is_flag=True, help="Replace a finished artifact in --out that was made with other settings."
)
wait_option = click.option(
    "--wait", is_flag=True, help="Wait while another run writes to --out, instead of ending with exit code 4."
)


def named_models(models: Sequence[str]) -> dict[str, Path]:
    """The values of `--model NAME=PATH`, by name. Raises: ConfigError for any other form."""
    named: dict[str, Path] = {}
    for item in models:
        name, separator, path = item.partition("=")
        if not separator:
            raise ConfigError(f"--model {item}", "allowed: NAME=PATH")
        named[name] = Path(path)
    return named


PLAIN_SECONDS, VERBOSE_SECONDS = 60.0, 5.0
"""Seconds between log lines where progress cannot be drawn; the same with --verbose."""


class ConsoleProgress:
    """Draws progress on stderr if that is a terminal; otherwise, as in a job's log, writes one line per minute."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._label, self._unit = "", ""
        self._total: int | None = None
        self._silent = False
        self._started = 0.0
        self._items = 0
        self._done = 0
        self._told = (0.0, 0)
        """Time of the last line, and the progress at that time."""

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        """See `dclm.core.stages.progress.Progress`."""
        self._started, self._items, self._done = time.monotonic(), 0, 0
        self._silent = current().quiet or total == 0  # "0/0" helps nobody
        if self._silent:
            return
        if not self._console.is_terminal:
            self._label, self._unit, self._total, self._told = label, unit, total, (self._started, 0)
            return
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        atexit.register(self.finish)  # an error also ends the work, and must not leave the cursor hidden
        self._progress.start()
        self._task = self._progress.add_task(label, total=total, rate="")

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        """See `dclm.core.stages.progress.Progress`."""
        if self._silent:
            return
        self._items += items
        self._done += units
        now = time.monotonic()
        elapsed = now - self._started
        rate = note or (f"{self._items / elapsed:,.0f} documents/s" if self._items and elapsed > 0.5 else "")
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=units, rate=rate)
        elif elapsed < 1.0:  # work finished before this run does not count toward its speed
            self._told = (now, self._done)
        elif (
            now - self._told[0] >= (VERBOSE_SECONDS if current().verbose else PLAIN_SECONDS)
            and self._done > self._told[1]
        ):
            self._write_line(now, rate)

    def _write_line(self, now: float, rate: str) -> None:
        since, done = self._told
        line = f"{self._label}: {self._done:,}"
        if self._total is not None:
            left = (now - since) / (self._done - done) * (self._total - self._done)
            line += f" of {self._total:,} {self._unit}, {datetime.timedelta(seconds=round(left))} left"
        say(f"{line} · {rate}" if rate else line)
        self._told = (now, self._done)

    def finish(self) -> None:
        """See `dclm.core.stages.progress.Progress`."""
        if self._progress is not None:
            self._progress.stop()
            atexit.unregister(self.finish)
        self._progress, self._task = None, None
