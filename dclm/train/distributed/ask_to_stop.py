"""Asks ranks on other machines to save a checkpoint and end.

The driver's signal does not reach them, and ending their processes would lose the training since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from dclm.core.stages import stopping
from dclm.core.stages.stopping import Stopped
from dclm.train.distributed.messages import Messages

_EVERY_SECONDS = 0.5


@contextlib.contextmanager
def passed_on(messages: Messages) -> Iterator[None]:
    """While the block runs, a received signal is forwarded to the ranks that hold these messages.

    Raises: Stopped at the end of the block if a signal arrived, with the ranks' report on their checkpoint.
    """

    def pass_on() -> bool:
        number = stopping.requested()
        if number is not None:
            messages.tell("stop", number)
        return number is not None

    try:
        with stopping.watched(), _looking(pass_on):
            yield
    except Stopped as stopped:
        hint = messages.last("saved")
        if hint is not None:
            raise Stopped(stopped.number, hint) from None
        raise


@contextlib.contextmanager
def obeyed(messages: Messages, *, answers: bool) -> Iterator[None]:
    """While the block runs, a request from `passed_on` ends this rank's work like a signal, which does not count as a
    failure.

    answers: whether this rank reports what was saved.
    """

    def look() -> bool:
        number = messages.last("stop")
        if number is not None:
            stopping.request(number)
        return number is not None

    try:
        with _looking(look):
            yield
    except Stopped as stopped:
        stopping.reset()
        if answers:
            messages.tell("saved", stopped.hint)


@contextlib.contextmanager
def _looking(look: Callable[[], bool]) -> Iterator[None]:
    """Call `look` repeatedly from a thread until it returns True or the block ends."""
    ended = threading.Event()

    def run() -> None:
        while not look() and not ended.wait(_EVERY_SECONDS):
            pass

    thread = threading.Thread(target=run, name="ask-to-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
