"""Requested stops: SIGTERM (a scheduler's time limit, a spot node) and SIGHUP (a closed terminal).

A signal interrupts the work as Ctrl-C does, unless the work checks for signals itself: training saves a checkpoint
first, and an engine lets running units finish.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 20.0
"""How long running units may continue. By default, Slurm and Kubernetes send SIGKILL 30 s after SIGTERM."""


class Stopped(BaseException):
    """The process was asked to stop. Like KeyboardInterrupt this is not an error, and error handlers do not catch
    it."""

    def __init__(self, number: int, hint: str | None = None) -> None:
        """hint: what exists and how to continue; None: the same command reuses finished work."""
        self.number = number
        self.hint = hint
        super().__init__(str(self))

    def __reduce__(self) -> tuple[type[Stopped], tuple[int, str | None]]:
        return type(self), (self.number, self.hint)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as in shells: 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number

    def __str__(self) -> str:
        hint = self.hint or "run the same command again to continue from what is finished"
        return f"stopped by {signal.Signals(self.number).name}: {hint}"


class _State:
    requested: int | None = None
    watchers = 0
    installed = False


def install() -> None:
    """Handle SIGTERM and SIGHUP from now on. Does nothing outside the main thread, where Python cannot handle
    signals."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: the user wants the work to survive
                signal.signal(number, _take)
        _State.installed = True


def uninstall() -> None:
    """Restore the previous handlers and forget a received signal: for callers that continue after a command has
    ended."""
    if _State.installed and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is _take:
                signal.signal(number, signal.SIG_DFL)
    _State.installed = False
    _State.requested = None


def install_again() -> None:
    """Reinstall our handlers after a library, such as Ray, replaced them; does nothing if we had not installed any."""
    if _State.installed:
        install()


def _take(number: int, _frame: FrameType | None) -> None:
    _State.requested = number
    if not _State.watchers:
        raise Stopped(number)


def requested() -> int | None:
    """The signal that asked this process to stop, if any."""
    return _State.requested


def request(number: int) -> None:
    """Record that this process is to end, as a signal would: for processes that learn of it in another way.

    Call it while the work is `watched`.
    """
    _State.requested = number


@contextlib.contextmanager
def watched(hint: str | None = None) -> Iterator[None]:
    """While the block runs, a signal is only recorded: the block must check `requested` and end soon.

    Raises: Stopped at the end of the block if a signal arrived, unless an error ends it.
    """
    _State.watchers += 1
    try:
        yield
    finally:
        _State.watchers -= 1
    if _State.requested is not None and not _State.watchers:
        raise Stopped(_State.requested, hint)


def reset() -> None:
    """Forget a received signal (for tests, and for a process that continues with other work)."""
    _State.requested = None
