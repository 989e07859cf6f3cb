"""All deduplication steps against indexes make the same bytes on Ray, on S3, and after stops at any unit."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_engine_index import planted, write
from test_engine_text_dedup import Stopped, StopsAfter

from dclm.core.record import read_record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.curate.indexes.index import build_index
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.index.indexed import Indexed
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from dclm.pool.files import list_files

MINHASH = MinHash(bands=20, rows=3, verify=0.7, keep="longest", carry=("size", "domains"), links_in_memory=0)
STEPS: dict[str, Indexed] = {
    "exact": Exact(keep="longest", carry=("size",)),
    "line": Exact(of="line"),
    "url": Exact(of="url"),
    "minhash": MINHASH,
    "linked": MinHash(bands=20, rows=3, links_in_memory=0),
    "signatures": MinHash(bands=20, rows=3, verify=0.7, verify_by="signatures"),
    "substring": Substring(min_tokens=8),
    "bloom": Bloom(mode="document", fp_rate=1e-3, partitions=1),
}


FEW = ("minhash",)
"""The step that decides in rounds."""


def everything(a: Path, b: Path, out: str, engine: Engine, names: Sequence[str] = tuple(STEPS)) -> None:
    """The index of A for each of these steps, and B against it."""
    for name in names:
        step = STEPS[name]
        index = f"{out}/{name}-index"
        build_index(step, list_files([str(a)]), index, engine, room=10_000 if isinstance(step, Bloom) else None)
        known = step.__class__(**(vars(step) | {"against": (index,)}))
        options = CurateOptions(unit_bytes=0, shard_bytes=0)
        curate(bind(Pipeline(name="all", steps=(known,))), list_files([str(b)]), f"{out}/{name}", options, engine)


Hashes = dict[str, dict[str, str]]


def hashes(out: str, names: Sequence[str] = tuple(STEPS)) -> Hashes:
    made = [*names, *(f"{name}-index" for name in names)]
    return {name: {f.path: f.sha256 for f in read_record(f"{out}/{name}").files} for name in made}


def few(all_hashes: Hashes) -> Hashes:
    return {name: found for name, found in all_hashes.items() if name.removesuffix("-index") in FEW}


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("everywhere")
    return write(root / "a", planted(1, 24), 2), write(root / "b", planted(1, 12) + planted(2, 12), 2)


@pytest.fixture(scope="module")
def calm(pools: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Hashes:
    out = str(tmp_path_factory.mktemp("calm"))
    everything(*pools, out, SerialEngine())
    for name in STEPS:
        counts = read_record(f"{out}/{name}").counts
        assert 0 < counts["kept"] < 24, name  # type: ignore[operator]
    return hashes(out)


def test_stopped_anywhere_and_resumed(pools: tuple[Path, Path], calm: Hashes, tmp_path: Path) -> None:
    stops = 0
    while True:
        try:
            everything(*pools, str(tmp_path), StopsAfter(40 + stops % 7))
            break
        except Stopped:
            stops += 1
    assert stops > 8
    assert hashes(str(tmp_path)) == calm


def test_on_s3(pools: tuple[Path, Path], calm: Hashes, s3: str) -> None:
    everything(*pools, f"{s3}/out", SerialEngine(), FEW)
    assert hashes(f"{s3}/out", FEW) == few(calm)


_ON_RAY = """
import pickle, sys
from test_engine_index_everywhere import FEW, everything
from dclm.engine.ray import RayEngine

engine = RayEngine(workers=2)
everything(*pickle.loads(bytes.fromhex(sys.argv[1])), engine, FEW)
engine.close()
"""


@pytest.mark.slow
def test_on_ray(pools: tuple[Path, Path], calm: Hashes, tmp_path: Path) -> None:
    given = pickle.dumps((*pools, str(tmp_path))).hex()
    done = subprocess.run(
        [sys.executable, "-c", _ON_RAY, given], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert hashes(str(tmp_path), FEW) == few(calm)
