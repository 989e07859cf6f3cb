"""Workers that die, or are kept for further work: the run continues without a dead one, and no unit is lost."""

from __future__ import annotations

import os
import select
import signal
import threading
from multiprocessing import active_children
from pathlib import Path

from dclm.core.stages.engine import staged
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


def process(unit: int) -> int:
    return os.getpid()


def kill(number: int) -> None:
    """Kill a process and wait until it has ended."""
    ended = os.pidfd_open(number)
    os.kill(number, signal.SIGKILL)
    select.select([ended], [], [])
    os.close(ended)


def test_a_worker_that_dies_while_results_are_read_costs_no_unit() -> None:
    """The pool breaks between two units: what it has not taken yet is run by the next pool."""
    found = {}
    for index, worker in LocalEngine(2).map(process, range(20)):
        if not found:
            kill(worker)
        found[index] = worker
    assert sorted(found) == [*range(20)]
    assert len(set(found.values())) > 1


def test_a_stage_keeps_its_workers_until_it_ends() -> None:
    engine = LocalEngine(2).for_stage("documents")
    first = {worker for _, worker in engine.map(process, range(20))}
    second = {worker for _, worker in engine.map(process, range(20))}
    assert {child.pid for child in active_children()} >= first | second
    assert len(first | second) <= 2
    engine.end_stage()
    assert not {child.pid for child in active_children()} & (first | second)


def test_blocks_of_one_stage_have_the_same_workers() -> None:
    with staged(LocalEngine(2), "documents") as outer:
        first = {worker for _, worker in outer.map(process, range(20))}
        with staged(outer, "documents") as inner:
            second = {worker for _, worker in inner.map(process, range(20))}
        assert not {child.pid for child in active_children()} & (first | second)
    assert len(first | second) <= 2


def test_a_worker_that_dies_while_it_is_idle_costs_no_unit() -> None:
    engine = LocalEngine(2).for_stage("documents")
    kill(next(worker for index, worker in list(engine.map(process, range(20)))))
    found = dict(engine.map(process, range(20)))
    engine.end_stage()
    assert sorted(found) == [*range(20)]
