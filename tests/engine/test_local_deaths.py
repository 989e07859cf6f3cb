"""A worker that dies: the others may wait for what it held, and the run continues without it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from dclm.engine.local import LocalEngine


def wait_or_die(unit: tuple[int, str]) -> int:
    """The first time, unit 0 waits for ever, and unit 1 dies once unit 0 waits and unit 3 has run."""
    number, folder = unit
    (Path(folder) / f"began-{number}").touch()
    if number == 0 and not os.path.exists(os.path.join(folder, "died")):
        threading.Event().wait()
    if number == 1 and not os.path.exists(os.path.join(folder, "died")):
        while not all(os.path.exists(os.path.join(folder, f"began-{other}")) for other in (0, 3)):
            os.sched_yield()
        (Path(folder) / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_waits_for_a_dead_one_does_not_stop_the_run(tmp_path: Path) -> None:
    units = [(number, str(tmp_path)) for number in range(6)]
    assert sorted(LocalEngine(3).map(wait_or_die, units)) == [(number, number) for number in range(6)]
    assert (tmp_path / "died").exists()
