"""Asks ranks on other machines to save a checkpoint and end, through files on storage that they share with the driver.

The driver's signal does not reach them, and ending their processes would lose the training since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from dclm.core import stopping
from dclm.core.stopping import Stopped
from dclm.core.storage import write_atomic

_ASKED, _ANSWER = "asked-to-stop", "stopped.json"
_EVERY_SECONDS = 0.5


def clear(folder: Path) -> None:
    """Forget the request of an earlier run."""
    for name in (_ASKED, _ANSWER):
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def passed_on(folder: Path) -> Iterator[None]:
    """While the block runs, a received signal is forwarded to the ranks that watch `folder`.

    Raises: Stopped at the end of the block if a signal arrived, with the ranks' report on their checkpoint.
    """

    def pass_on() -> bool:
        number = stopping.requested()
        if number is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / _ASKED, str(number).encode())
        return number is not None

    try:
        with stopping.watched(), _looking(pass_on):
            yield
    except Stopped as stopped:
        with contextlib.suppress(FileNotFoundError):
            raise Stopped(stopped.number, json.loads((folder / _ANSWER).read_text())["hint"]) from None
        raise


@contextlib.contextmanager
def obeyed(folder: Path, *, answers: bool) -> Iterator[None]:
    """While the block runs, a request from `passed_on` ends this rank's work like a signal, which does not count as a
    failure.

    answers: whether this rank reports what was saved.
    """

    def look() -> bool:
        try:
            stopping.request(int((folder / _ASKED).read_text()))
        except FileNotFoundError:
            return False
        return True

    try:
        with _looking(look):
            yield
    except Stopped as stopped:
        stopping.reset()
        if answers:
            write_atomic(folder / _ANSWER, json.dumps({"hint": stopped.hint}).encode())


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
