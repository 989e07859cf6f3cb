"""A signal to the process to end: running units finish and count, and no other unit begins."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from dclm.core.stages import stopping
from dclm.core.stages.stopping import Stopped, watched
from dclm.engine.local import LocalEngine


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    stopping.install()
    yield
    stopping.uninstall()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def signalled(unit: int) -> int:
    """A unit whose worker also gets the signal, as when a scheduler signals all processes."""
    os.kill(os.getpid(), signal.SIGTERM)
    return unit


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_running_units_finish_and_no_other_begins(number: signal.Signals) -> None:
    results: list[int] = []
    total = 10**6

    def run() -> None:
        for index, result in LocalEngine(2).map(signalled, range(total)):
            assert index == result
            if not results:
                signal.raise_signal(number)
            results.append(result)

    with pytest.raises(Stopped) as stopped:
        run()
    assert stopped.value.exit_code == 128 + number
    assert 0 < len(results) == len(set(results)) < total


def test_a_signal_ends_work_that_does_not_look_for_it_at_once() -> None:
    with pytest.raises(Stopped, match="stopped by SIGTERM: run the same command again to continue"):
        signal.raise_signal(signal.SIGTERM)


def test_an_error_is_told_rather_than_the_signal() -> None:
    def fail() -> None:
        with watched():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()


def test_a_process_under_nohup_goes_on() -> None:
    stopping.uninstall()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stopping.install()
        signal.raise_signal(signal.SIGHUP)
        assert stopping.requested() is None
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
