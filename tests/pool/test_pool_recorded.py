"""A pool that changes while it is read, and pools that differ from their record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from dclm.core.errors import DataError
from dclm.core.record import fingerprint, read_record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files

U = TypeVar("U")
R = TypeVar("R")


class Meddling(SerialEngine):
    """Modifies the pool between hashing and reading it."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self._meddle = meddle
        self._calls = 0

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        self._calls += 1
        if self._calls == 2:
            self._meddle()
        return super().map(function, units)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"text": "one two three"}\n{"text": "four five six"}\n')
    return path


def run(pool: Path, meddle: Callable[[], object]) -> Path:
    pipeline = pool.parent / "p.yaml"
    pipeline.write_text("name: p\nsteps:\n  - page_length: {of: word, min: 1}\n")
    out = pool.parent / "out"
    bound = bind(load_pipeline(pipeline), {})
    curate(bound, list_files([str(pool)]), out, CurateOptions(), Meddling(meddle))
    return out


def test_an_input_that_changes_while_it_is_read_is_refused(pool: Path) -> None:
    other = pool.read_text().replace("one", "ten")
    with pytest.raises(DataError, match="was changed while being read"):
        run(pool, lambda: pool.write_text(other))
    assert not (pool.parent / "out" / "record.json").exists()


def test_the_same_bytes_at_another_time_are_no_change(pool: Path) -> None:
    def touch() -> None:
        pool.write_bytes(pool.read_bytes())
        os.utime(pool, ns=(1, 1))

    out = run(pool, touch)
    record = read_record(out)
    listing = record.provenance["pool"]
    assert isinstance(listing, list)
    assert [file["address"] for file in listing] == [str(pool)]
    assert fingerprint([[file["name"], file["identity"]] for file in listing]) == record.inputs["pool"]
