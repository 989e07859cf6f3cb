"""Curation with its pool and its artifact on S3: the same bytes as on a disk, even after stops, storms and races."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from engine_steps import write_pool
from test_engine_curate import FULL, texts

from dclm.core.errors import IncompleteError
from dclm.core.record import Record, read_record
from dclm.core.stages import lease
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stores.objects import ObjectStore
from dclm.core.stores.store import exists, open_store, put
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline, Pipeline, bind
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.pool.files import list_files

U = TypeVar("U")
R = TypeVar("R")


class Stopped(Exception):
    """Ends a run that will be continued."""


class StopsAfter(SerialEngine):
    """Ends the run after a number of units, as a crash does: nothing of the stage's own is flushed."""

    def __init__(self, units: int) -> None:
        self._left = units

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        for index, unit in enumerate(units):
            if self._left == 0:
                raise Stopped
            self._left -= 1
            yield index, function(unit)


def run(pipeline: BoundPipeline, pool: str, out: str | Path, engine: Engine | None = None) -> Record:
    return curate(
        pipeline,
        list_files([pool]),
        out,
        CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0),
        engine or SerialEngine(),
    )


def data_files(record: Record) -> dict[str, str]:
    return {f.path: f.sha256 for f in record.files}


@pytest.fixture
def pools(tmp_path: Path, s3: str) -> tuple[str, str]:
    """The same pool on the disk and on S3."""
    local = write_pool(tmp_path / "pool", texts(3))
    for path in local.iterdir():
        put(f"{s3}/pool/{path.name}", path.read_bytes())
    return str(local), f"{s3}/pool"


def test_s3_gives_the_bytes_of_a_disk_and_nothing_else(pools: tuple[str, str], s3: str, tmp_path: Path) -> None:
    here = run(FULL, pools[0], tmp_path / "out")
    there = run(FULL, pools[1], f"{s3}/out")
    assert data_files(there) == data_files(here)
    assert read_record(f"{s3}/out") == there
    stored = set(open_store(f"{s3}/out").list())
    assert stored == {*data_files(there), "record.json"}  # no work, no lease
    for entry in there.files:
        assert open_store(f"{s3}/out").size(entry.path) == entry.bytes


@pytest.mark.slow
def test_stopped_anywhere_and_resumed_in_a_storm(
    pools: tuple[str, str], s3: str, storm: Callable[[int], None], tmp_path: Path
) -> None:
    calm = run(FULL, pools[0], tmp_path / "out")
    draw = random.Random(1)
    storm(7)
    stops = 0
    while True:
        try:
            found = run(FULL, pools[1], f"{s3}/out", StopsAfter(draw.randint(1, 9)))
            break
        except Stopped:
            stops += 1
    assert stops >= 3
    assert data_files(found) == data_files(calm)


def test_of_two_runs_one_works_and_the_other_is_told(pools: tuple[str, str], s3: str, tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    class Waits(SerialEngine):
        def map(
            self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
        ) -> Iterator[tuple[int, R]]:
            for index, unit in enumerate(units):
                yield index, function(unit)
                if function.__class__.__name__ == "partial":
                    inside.set()
                    assert go.wait(60)

    made: list[Record] = []
    first = threading.Thread(target=lambda: made.append(run(FULL, pools[1], f"{s3}/out", Waits())))
    first.start()
    assert inside.wait(60)
    with pytest.raises(IncompleteError, match="another run is writing here"):
        run(FULL, pools[1], f"{s3}/out")
    go.set()
    first.join()
    said: list[str] = []
    options = CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0)
    again = curate(FULL, list_files([pools[1]]), f"{s3}/out", options, SerialEngine(), say=said.append)
    assert again == made[0]
    assert "reused, made" in said[0]


def test_rounds_and_iterations_go_through_the_store(pools: tuple[str, str], s3: str, tmp_path: Path) -> None:
    steps = bind(Pipeline(name="fuzzy", steps=(MinHash(ngram=2, bands=4, rows=2, verify=0.5),)))
    assert data_files(run(steps, pools[1], f"{s3}/fuzzy")) == data_files(run(steps, pools[0], tmp_path / "fuzzy"))


def test_only_a_partition_is_fetched_of_a_large_file_of_keys(
    pools: tuple[str, str], s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dclm.curate.exchange import decision as exchange
    from dclm.curate.output import files

    fetched: list[str] = []
    whole = ObjectStore.local
    monkeypatch.setattr(ObjectStore, "local", lambda store, key: (fetched.append(key), whole(store, key))[1])
    monkeypatch.setattr(files, "_FETCH_BYTES", 0)
    monkeypatch.setattr(exchange, "MOST_FILES", 2)
    steps = bind(Pipeline(name="fuzzy", steps=(MinHash(ngram=2, bands=4, rows=2, verify=0.5),)))
    there = run(steps, pools[1], f"{s3}/fuzzy")
    assert data_files(there) == data_files(run(steps, pools[0], tmp_path / "fuzzy"))
    assert not [key for key in fetched if key.endswith(("keys.arrow", "drops.arrow", "rows.arrow"))]
    assert fetched  # documents are


class Died(BaseException):
    """Ends a run as a kill does: nothing that it would still do reaches the store."""


class Mortal:
    """Lets the changes of object stores fail from the one with this number on, before or after it is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changes, self.last, self.before = 0, -1, True
        for name in ("put", "create", "replace", "delete"):
            monkeypatch.setattr(ObjectStore, name, self._counted(ObjectStore.__dict__[name]))
        monkeypatch.setattr(lease.Holder, "is_gone", True)  # this process stands for all that died

    def live_until(self, change: int, before: bool) -> None:
        """-1: live."""
        self.changes, self.last, self.before = 0, change, before

    def _counted(self, method: Callable[..., object]) -> Callable[..., object]:
        def changed(*arguments: object) -> object:
            number, self.changes = self.changes, self.changes + 1
            if self.last >= 0 and number >= self.last:
                if number == self.last and not self.before:
                    method(*arguments)
                raise Died
            return method(*arguments)

        return changed


@pytest.mark.slow
def test_killed_at_every_change_of_the_store_and_resumed(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every second change, and after the others."""
    local = write_pool(tmp_path / "pool", texts(2))
    for path in local.iterdir():
        put(f"{s3}/pool/{path.name}", path.read_bytes())
    steps = bind(Pipeline(name="exact", steps=(Exact(),)))
    calm, mortal = run(steps, str(local), tmp_path / "out"), Mortal(monkeypatch)
    kills = 0
    while True:
        out = f"{s3}/{kills}"
        mortal.live_until(kills, before=kills % 2 == 0)
        try:
            run(steps, f"{s3}/pool", out)
            break
        except Died:
            kills += 1
        mortal.live_until(-1, before=True)
        assert not exists(f"{out}/record.json") or data_files(read_record(out)) == data_files(calm)
        found = run(steps, f"{s3}/pool", out)
        assert data_files(found) == data_files(calm)
        assert set(open_store(out).list()) == {*data_files(calm), "record.json"}
    assert kills > 20
