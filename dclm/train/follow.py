"""Progress of a run whose ranks are elsewhere, read from the files that the first rank appends to."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dclm.core.progress import Progress
from dclm.train.metrics import METRICS, TIMINGS, speed_note
from dclm.train.scale import Scale

EVERY_SECONDS = 1.0
TAIL_BYTES = 4096
"""Maximum length of a line."""


class Follower:
    """Reports to `progress` the new metrics of the run under `out`.

    Restarted ranks go back to their last checkpoint: nothing is reported until they are further than before.
    """

    def __init__(self, out: Path, scale: Scale, progress: Progress) -> None:
        self._out = out
        self._batch_tokens = scale.batch_sequences * scale.model.seq_len
        self._progress = progress
        self._step = 0
        progress.start(f"train {scale.name}", scale.num_steps, "steps")

    def look(self) -> None:
        """Report new updates, if there are any."""
        metrics, timing = last_line(self._out / METRICS), last_line(self._out / TIMINGS)
        if metrics is None or timing is None or timing["step"] <= self._step:
            return
        note = speed_note(metrics["loss"], timing["tokens_per_second"], timing.get("mfu"))
        steps = timing["step"] - self._step
        self._progress.advance(steps, steps * self._batch_tokens, note=note)
        self._step = timing["step"]


@contextmanager
def followed(out: Path, scale: Scale, progress: Progress) -> Iterator[None]:
    """Poll the run under `out` from a thread until the block ends."""
    follower, ended = Follower(out, scale, progress), threading.Event()

    def follow() -> None:
        while not ended.wait(EVERY_SECONDS):
            follower.look()

    thread = threading.Thread(target=follow, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        follower.look()
        progress.finish()


def last_line(path: Path) -> dict[str, Any] | None:
    """The last complete line of a JSONL file; None if none exists yet."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - TAIL_BYTES))
            lines = handle.read().split(b"\n")[:-1]  # anything after the last newline is still being written
    except FileNotFoundError:
        return None
    return json.loads(lines[-1]) if lines else None
