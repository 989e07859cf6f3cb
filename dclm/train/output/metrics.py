"""The metrics that a run writes: `metrics.jsonl`, the same bytes for the same run, and `timings.jsonl`, which
varies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dclm.core.errors import DataError
from dclm.train.output.trackers import Tracker

METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
MOST_SMOOTHED = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """One update."""

    step: int
    """From 1: number of updates done after this one."""
    loss: float
    """Mean cross-entropy of the update's tokens before it, in nats."""
    z_loss: float
    """Mean z-loss term, including its weight."""
    lr: float
    grad_norm: float
    """Gradient norm before clipping."""
    tokens: int
    """Number of tokens read so far."""


@contextmanager
def open_metrics(out: Path, step: int, trackers: Sequence[Tracker] = ()) -> Iterator[MetricsWriter]:
    """Append to the files under `out` after update `step`; lines of later updates, from before a crash, are removed.

    `trackers` receive the same numbers.
    """
    for name in (METRICS, TIMINGS):
        _cut(out / name, step)
    with open(out / METRICS, "ab") as metrics, open(out / TIMINGS, "ab") as timings:
        yield MetricsWriter(metrics, timings, trackers)


class MetricsWriter:
    """Appends lines, flushed so that they can be followed."""

    def __init__(self, metrics: IO[bytes], timings: IO[bytes], trackers: Sequence[Tracker]) -> None:
        self._metrics = metrics
        self._timings = timings
        self._trackers = trackers

    def step(self, metrics: StepMetrics) -> None:
        """Write one update."""
        values = dataclasses.asdict(metrics)
        _write(self._metrics, values)
        self.track(values.pop("step"), values)

    def timing(self, step: int, seconds: float, tokens_per_second: float, utilization: float | None) -> None:
        """Write the speed of the updates up to `step`, and their MFU if the device's peak is known."""
        # Unrounded: a reader of the file rounds once, like the run's own progress, and shows the same value.
        values = {"seconds": seconds, "tokens_per_second": tokens_per_second}
        if utilization is not None:
            values["mfu"] = utilization
        _write(self._timings, {"step": step, **values})
        self.track(step, values)

    def track(self, step: int, values: Mapping[str, float]) -> None:
        """Send to the trackers only."""
        for tracker in self._trackers:
            tracker.write(step, values)


def speed_note(loss: float, tokens_per_second: float, utilization: float | None) -> str:
    """The text that a progress bar shows next to the number of updates."""
    note = f"loss {loss:.3f} · {tokens_per_second:,.0f} tokens/s"
    return note if utilization is None else f"{note} · MFU {utilization:.1%}"


def smoothed_updates(num_updates: int) -> int:
    """Number of updates over which the loss of a run of `num_updates` is averaged: a tenth of them, at most 50."""
    return min(MOST_SMOOTHED, max(1, num_updates // 10))


def read_metrics(out: Path) -> list[StepMetrics]:
    """All updates recorded under `out`. Raises: DataError if the file is missing or a line is incomplete."""
    path = out / METRICS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error}", "train again") from error
    return parse_metrics(content, str(path))


def parse_metrics(content: bytes, name: str) -> list[StepMetrics]:
    """The updates in the content of a metrics file called `name`. Raises: DataError if a line is incomplete."""
    try:
        return [StepMetrics(**json.loads(line)) for line in content.decode().splitlines()]
    except (ValueError, TypeError) as error:
        raise DataError(name, f"cannot be read: {error}", "train again") from error


def _write(handle: IO[bytes], values: Mapping[str, object]) -> None:
    handle.write(json.dumps(values).encode() + b"\n")
    handle.flush()


def _cut(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = 0
    with open(path, "rb") as handle:
        for line in handle:
            if not line.endswith(b"\n") or _step(path, line) > step:
                break
            kept += len(line)
    with open(path, "r+b") as handle:
        handle.truncate(kept)


def _step(path: Path, line: bytes) -> int:
    """The update in a line. Raises: DataError if it is not a line of a run."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        step = None
    if not isinstance(step, int):
        what = f"found the line {line[:60].decode('utf-8', 'replace')!r}, allowed: lines written by dclm"
        raise DataError(str(path), what, "move the file away, or choose another --out")
    return step
