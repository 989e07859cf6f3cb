"""Progress of a run whose ranks are elsewhere, as they report it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dclm.core.stages.progress import Progress
from dclm.train.distributed.messages import Messages
from dclm.train.scale import Scale

EVERY_SECONDS = 1.0


class Follower:
    """Passes on to `progress` what the ranks of a run report.

    Restarted ranks go back to their last checkpoint: nothing is passed on until they are further than before.
    """

    def __init__(self, messages: Messages, scale: Scale, progress: Progress) -> None:
        self._messages = messages
        self._batch_tokens = scale.batch_sequences * scale.model.seq_len
        self._progress = progress
        self._step = 0
        progress.start(f"train {scale.name}", scale.num_steps, "steps")

    def look(self) -> None:
        """Pass on new updates, if there are any."""
        step, note = self._messages.last("reached") or (0, "")
        if step > self._step:
            steps = step - self._step
            self._progress.advance(steps, steps * self._batch_tokens, note=note)
            self._step = step


@contextmanager
def followed(messages: Messages, scale: Scale, progress: Progress) -> Iterator[None]:
    """Follow the run from a thread until the block ends."""
    follower, ended = Follower(messages, scale, progress), threading.Event()

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
