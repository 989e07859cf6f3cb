"""Leases: one holder at a time, takeover from dead holders, and fencing of holders that were considered dead."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dclm.core.errors import IncompleteError
from dclm.core.stages import lease
from dclm.core.stages.lease import LEASE, Holder, held
from dclm.core.stores.store import open_store


def write(folder: Path, holder: Holder) -> None:
    open_store(str(folder)).put(LEASE, (json.dumps(dataclasses.asdict(holder)) + "\n").encode())


def test_a_second_run_is_told_who_is_writing(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(IncompleteError, match=r"process \d+ on .* since"), held(tmp_path):
        pass
    with held(tmp_path):  # it was released
        pass
    assert not (tmp_path / LEASE).exists()


def test_a_dead_process_of_this_machine_hands_on_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = Holder.this_process()
    dead = dataclasses.replace(here, pid=child.pid, process=lease._process(child.pid))
    write(tmp_path, dead)
    with pytest.raises(IncompleteError), held(tmp_path):
        pass
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    said: list[str] = []
    with held(tmp_path, say=said.append):
        pass
    child.communicate()
    assert "taken over" in said[0]


def test_another_machines_lease_is_taken_over_when_it_is_not_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.05)
    write(tmp_path, dataclasses.replace(Holder.this_process(), host="elsewhere"))
    with held(tmp_path) as mine:
        mine.check()


def test_who_lost_its_lease_must_stop(tmp_path: Path) -> None:
    with held(tmp_path) as mine:
        write(tmp_path, dataclasses.replace(Holder.this_process(), host="elsewhere"))
        assert not mine.beat()
        with pytest.raises(IncompleteError, match="took over"):
            mine.check()
    assert (tmp_path / LEASE).exists()  # the other one's


def test_a_lease_is_renewed(tmp_path: Path) -> None:
    with held(tmp_path) as mine:
        assert mine.beat()
        assert json.loads((tmp_path / LEASE).read_bytes())["beat"] == 1
        mine.check()
