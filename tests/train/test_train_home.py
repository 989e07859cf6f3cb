"""The home of a training run on S3: which checkpoints stay, who may write, and where nodes work."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dclm.core.errors import ConfigError, IncompleteError
from dclm.core.record import Record
from dclm.core.stages import lease
from dclm.core.stages.journal import Journal
from dclm.core.stages.lease import LEASE
from dclm.core.stages.ownership import WORK
from dclm.core.stores.store import Store, open_store
from dclm.train import loop
from dclm.train.options import TrainOptions
from dclm.train.output import home
from dclm.train.output.home import open_home
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

OPTIONS = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=3, resume=True)


class Crash(Exception):
    """Ends a run that will be continued."""


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let runs end before this update; 0: no longer."""
    whole = loop.Trainer.__dict__["update"]

    def update(self: loop.Trainer, number: int) -> object:
        if number == step:
            raise Crash
        return whole(self, number)

    monkeypatch.setattr(loop.Trainer, "update", update)


def stored(out: str) -> set[str]:
    return set(open_store(out).list())


def checkpoints(names: set[str]) -> set[str]:
    return {name.split("/")[1] for name in names if name.startswith("checkpoints/")}


@pytest.mark.parametrize("keep", [1, 2, 9])
def test_a_resumed_run_keeps_the_checkpoints_of_one_that_was_not_stopped(
    make_tokens: MakeTokens, small_scale: Scale, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    tokens, out, options = make_tokens(), f"{s3}/run", dataclasses.replace(OPTIONS, keep_checkpoints=keep)

    def run(where: str | Path) -> Record:
        return train(tokens, where, scale=small_scale, seed=1, options=options)

    whole = run(tmp_path / "whole")
    for step in (8, 14, 19):
        with monkeypatch.context() as context:
            crash_at(context, step)
            with pytest.raises(Crash):
                run(out)
    assert run(out).files == whole.files
    assert stored(out) == {"record.json", *(entry.path for entry in whole.files)}


def test_what_a_killed_process_has_not_deleted_completely_is_deleted_by_the_next(
    make_tokens: MakeTokens, small_scale: Scale, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, out = make_tokens(), f"{s3}/run"
    delete_tree = home.delete_tree

    def delete_one(address: str) -> None:
        if address.endswith("step-000003"):
            open_store(address).delete(list(open_store(address).list())[:1])
            raise Crash
        delete_tree(address)

    with monkeypatch.context() as context:
        context.setattr(home, "delete_tree", delete_one)
        with pytest.raises(Crash):
            train(tokens, out, scale=small_scale, seed=1, options=OPTIONS)
    assert checkpoints(stored(out)) == {"step-000003", "step-000006", "step-000009"}
    train(tokens, out, scale=small_scale, seed=1, options=OPTIONS)
    assert checkpoints(stored(out)) == {"step-000018", "step-000020"}


def test_a_run_that_is_killed_while_it_replaces_another_can_be_repeated(
    make_tokens: MakeTokens, small_scale: Scale, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, out, force = make_tokens(), f"{s3}/run", dataclasses.replace(OPTIONS, force=True)
    with monkeypatch.context() as context:
        crash_at(context, 8)
        with pytest.raises(Crash):
            train(tokens, out, scale=small_scale, seed=1, options=OPTIONS)
    with pytest.raises(ConfigError, match=f"{out}\ncontains a run with another scale, seed or data"):
        train(tokens, out, scale=small_scale, seed=2, options=OPTIONS)
    delete_tree, deleted = home.delete_tree, list[str]()

    def delete_one(address: str) -> None:
        if deleted:
            raise Crash
        deleted.append(address)
        delete_tree(address)

    with monkeypatch.context() as context:
        context.setattr(home, "delete_tree", delete_one)
        context.setattr(home.Mirror, "clear", lambda self: None)
        with pytest.raises(Crash):
            train(tokens, out, scale=small_scale, seed=2, options=force)
    assert len(deleted) == 1
    record = train(tokens, out, scale=small_scale, seed=2, options=force)
    assert stored(out) == {"record.json", *(entry.path for entry in record.files)}


@pytest.mark.parametrize("where", ["s3", "disk"])
def test_a_run_that_was_taken_over_writes_no_checkpoint(
    make_tokens: MakeTokens,
    small_scale: Scale,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    where: str,
) -> None:
    out = str(tmp_path / "run") if where == "disk" else request.getfixturevalue("s3") + "/run"
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    whole = loop.Trainer.__dict__["update"]

    def update(self: loop.Trainer, number: int) -> object:
        if number == 8:
            other = dataclasses.replace(lease.Holder.this_process(), host="another")
            open_store(out).put(LEASE, json.dumps(dataclasses.asdict(other)).encode())
            for thread in threading.enumerate():
                if thread.name == "lease":
                    thread.join()
        return whole(self, number)

    monkeypatch.setattr(loop.Trainer, "update", update)
    with pytest.raises(IncompleteError, match="another run took over"):
        train(make_tokens(), out, scale=small_scale, seed=1, options=OPTIONS)
    assert checkpoints(stored(out)) == {"step-000003", "step-000006"}


def test_nodes_that_share_the_disk_of_their_scratch_folders_work_in_folders_of_their_own(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for node in ("one", "two", "one"):
        monkeypatch.setattr("platform.node", lambda node=node: node)
        folders.append(open_home(f"{s3}/run").folder)
    assert folders[0] == folders[2] != folders[1]


def test_asking_for_an_unfinished_run_writes_nothing(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver asks before any rank has the lease; another run may be writing."""
    out = f"{s3}/run"
    store: Store = open_store(out)
    monkeypatch.setattr("dclm.core.stages.journal.MERGE_ENTRIES", 3)
    journal = Journal(store, f"{WORK}/journal")
    assert list(journal.read()) == []
    for step in range(6):
        journal.add(f"step-{step:06d}", {"files": {"state.json": [1, "a"]}})
        journal.flush()
    before = stored(out)
    assert open_home(out).unfinished() == "step-000005"
    assert stored(out) == before
