"""Bits flipped in the files of unfinished work: the next run gives the same bytes, or refuses; it never decides by
them."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_steps import Edit, bound, write_lines

from dclm.core.errors import DclmError
from dclm.core.record import read_record
from dclm.core.stages import journal
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from dclm.pool.files import list_files

STEPS = (Edit(), Exact(), MinHash(ngram=3, bands=20, rows=2, verify=0.4, links_in_memory=1), Substring(min_tokens=12))


class Dies(BaseException):
    """The process is killed."""


class Mortal(SerialEngine):
    """Dies after so many units."""

    def __init__(self, units: int) -> None:
        self.left = units

    def map(
        self, function: Callable[[Any], Any], units: Any, *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for found in super().map(function, units):
            if not self.left:
                raise Dies
            self.left -= 1
            yield found


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("pool"))


def run(pool: Path, out: Path, engine: SerialEngine | None = None) -> str:
    options = CurateOptions(unit_bytes=0, shard_bytes=0)
    curate(bound(*STEPS), list_files([str(pool)]), out, options, engine or SerialEngine())
    return read_record(out).digest


@pytest.mark.slow
def test_flipped_bits_of_unfinished_work_decide_nothing(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FLUSH_SECONDS", -1)  # the journal has every unit, however fast they are
    expected = run(pool, tmp_path / "calm")
    draw = random.Random(0)
    ends: Counter[str] = Counter()
    deaths = 0
    while True:
        try:
            run(pool, tmp_path / "dead", Mortal(deaths))
            break
        except Dies:
            deaths += 9
        files = [p for p in sorted((tmp_path / "dead" / ".work").rglob("*")) if p.is_file() and p.stat().st_size]
        rounds = [p for p in files if "rounds" in p.parts]
        for path in sorted({draw.choice(files), *draw.sample(rounds, min(len(rounds), 2))}) if files else ():
            shutil.copytree(tmp_path / "dead", tmp_path / "flipped")
            flipped = tmp_path / "flipped" / path.relative_to(tmp_path / "dead")
            content = bytearray(flipped.read_bytes())
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            flipped.unlink()
            flipped.write_bytes(content)
            try:
                ends[run(pool, tmp_path / "flipped")] += 1
            except DclmError:
                ends["refused"] += 1
            shutil.rmtree(tmp_path / "flipped")
    assert deaths > 20
    assert ends.keys() == {expected, "refused"}
    assert min(ends.values()) > 1
