"""Faults in one rank of a test: passed as `make_progress` to `launch`, which each rank calls first."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from torch import Tensor

from dclm.core.stages.progress import NullProgress, Progress
from dclm.train import loop
from dclm.train.output import checkpoint

WHERE = 15
"""The update after which rank 1 dies, or in which it stalls."""


def dies_in_mid_write() -> Progress:
    """Rank 1 is killed when its part of the checkpoint is written but the checkpoint is not committed."""
    whole = checkpoint.write_shards

    def write(directory: Path, tensors: dict[str, Tensor]) -> None:
        whole(directory, tensors)
        if f"step-{WHERE:06d}" in directory.name and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write_shards = write
    return NullProgress()


def stalls() -> Progress:
    """Rank 1 never returns from an update."""
    whole = loop.Trainer.update

    def update(self: loop.Trainer, step: int) -> Tensor:
        if step == WHERE and self.ranks.rank == 1:
            threading.Event().wait()
        return whole(self, step)

    loop.Trainer.update = update  # type: ignore[method-assign]
    return NullProgress()


class Signals(NullProgress):
    """Signals its own process after this many updates."""

    def __init__(self, updates: int, number: signal.Signals) -> None:
        self._left, self._number = updates, number

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        """See `dclm.core.stages.progress.Progress`."""
        if units:
            self._left -= units
            if self._left == 0:
                signal.raise_signal(self._number)


def terminated() -> Progress:
    """The first rank is asked to end after two updates."""
    return Signals(2, signal.SIGTERM)
