"""Repeats and phases together: exact counts and shares in the finished rows, and the same bytes however they were made.

Documents are seven bytes and an end, so that with `seq_len` 7 every row is a document, and rows can be counted.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dclm.core.record import read_record
from dclm.engine import open_engine
from dclm.engine.local import LocalEngine
from dclm.tokens.config import Phase
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.mixture import apportion
from dclm.tokens.repeats import DocumentRepeats, copies
from dclm.tokens.stage import TokenizeConfig, tokenize

BYTES = str(Path(__file__).resolve().parents[2] / "recipes" / "experiments" / "bytes.json")
RULE = DocumentRepeats(column="times", cap=3)
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TIMES = st.lists(st.floats(0, 4), min_size=3, max_size=40)


def write(folder: Path, letter: str, times: list[float], shards: int = 1) -> Path:
    folder.mkdir(parents=True)
    rows = [json.dumps({"text": f"{letter}{i:06d}", "times": t}) + "\n" for i, t in enumerate(times)]
    for shard in range(shards):
        part = rows[shard * len(rows) // shards : (shard + 1) * len(rows) // shards]
        (folder / f"{shard}.jsonl").write_text("".join(part), encoding="utf-8")
    return folder


def documents_of(out: Path) -> list[str]:
    """The documents in the order of training."""
    data = TokenDataset(out, verify=True)
    return [bytes(row[:7].tolist()).decode() for row in data.rows(range(len(data)))]


@given(times=TIMES, shards=st.integers(1, 3), seed=st.integers(0, 99))
@QUICK
def test_every_document_is_in_the_rows_as_often_as_its_count_says(
    tmp_path_factory: pytest.TempPathFactory, times: list[float], shards: int, seed: int
) -> None:
    wanted = copies(RULE.units(times, "here"), 0)
    if not wanted.sum():
        return
    root = tmp_path_factory.mktemp("counts")
    pool = write(root / "pool", "a", times, shards)
    config = TokenizeConfig(seq_len=7, seed=seed, repeats=RULE)
    record = tokenize([pool], root / "out", tokenizer=BYTES, config=config)
    found = Counter(documents_of(root / "out"))
    assert [found[f"a{i:06d}"] for i in range(len(times))] == wanted.tolist()
    assert record.counts["document_reads"] == wanted.sum() == sum(found.values())
    assert record.counts["distinct_tokens"] == len(found) * 7


@given(
    sizes=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    phases=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=3),
    total=st.integers(5, 60),
)
@QUICK
def test_every_prefix_of_every_phase_has_the_exact_shares(
    tmp_path_factory: pytest.TempPathFactory, sizes: tuple[int, int], phases: list[tuple[int, int, int]], total: int
) -> None:
    phases = [(share, a, b) if a + b else (share, 1, b) for share, a, b in phases]
    root = tmp_path_factory.mktemp("phases")
    counts = [[1.0 + (i % 3) / 2 for i in range(size)] for size in sizes]
    pools = [write(root / letter, letter, times) for letter, times in zip("ab", counts, strict=True)]
    config = TokenizeConfig(
        seq_len=7,
        seed=1,
        repeats=RULE,
        phases=tuple(Phase(share=share, weights=(a, b)) for share, a, b in phases),
        num_tokens=7 * total,
        max_repeats=100,
    )
    tokenize(pools, root / "out", tokenizer=BYTES, config=config)
    order = documents_of(root / "out")
    assert len(order) == total
    first = 0
    for rows, (_, a, b) in zip(apportion([Fraction(s) for s, _, _ in phases], total), phases, strict=True):
        had = np.cumsum([document[0] == "a" for document in order[first : first + rows]])
        if rows:
            assert np.abs(had - np.arange(1, rows + 1) * a / (a + b)).max() < 1 + 1e-9
        first += rows
    for letter, times in zip("ab", counts, strict=True):  # a document with twice the count is read twice as often
        once = copies(RULE.units(times, "here"), 0)
        read = Counter(document for document in order if document[0] == letter)
        passes = sum(read.values()) / once.sum()
        for i, number in enumerate(once.tolist()):
            assert abs(read[f"{letter}{i:06d}"] - passes * number) <= max(2, number)


CONFIGS = {
    "repeats": TokenizeConfig(seq_len=7, seed=3, rows_per_shard=32, repeats=RULE),
    "phases": TokenizeConfig(
        seq_len=7,
        seed=3,
        rows_per_shard=32,
        repeats=RULE,
        phases=(Phase(share=3, weights=(2, 1)), Phase(share=1, weights=(1, 4))),
        num_tokens=7 * 400,
        max_repeats=2,
    ),
}
KILLED = """
import os, pickle, signal, sys
from dclm.core.stages import journal
from dclm.core.stages.engine import SerialEngine
from dclm.tokens.stage import tokenize

journal.FLUSH_SECONDS = -1.0
pools, tokenizer, runs = pickle.loads(bytes.fromhex(sys.argv[1]))


class Doomed(SerialEngine):
    def __init__(self, left):
        self.left = left

    def map(self, function, units, one_gpu_each=False):
        for index, unit in enumerate(units):
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
            yield index, function(unit)


for out, config, units in runs:
    child = os.fork()
    if not child:
        tokenize(pools, out, tokenizer=tokenizer, config=config, engine=Doomed(units))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


@pytest.fixture
def pools(tmp_path: Path) -> list[Path]:
    counts = [[(0.0, 0.5, 1.0, 2.5, 4.0)[i % 5] for i in range(n)] for n in (180, 120)]
    return [write(tmp_path / letter, letter, times, 4) for letter, times in zip("ab", counts, strict=True)]


def made(pools: list[Path], out: Path, config: TokenizeConfig) -> dict[str, str]:
    tokenize(pools, out, tokenizer=BYTES, config=config)
    return {file.path: file.sha256 for file in read_record(out).files}


def test_four_workers_make_the_bytes_of_one(pools: list[Path], tmp_path: Path) -> None:
    """Repeats and phases together; `test_tokens_repeats.py` has the same for repeats alone."""
    config = CONFIGS["phases"]
    tokenize(pools, tmp_path / "four", tokenizer=BYTES, config=config, engine=LocalEngine(4))
    assert made(pools, tmp_path / "four", config) == made(pools, tmp_path / "one", config)


def test_killed_runs_end_in_the_same_bytes(pools: list[Path], tmp_path: Path) -> None:
    """Kills between counting, packing, mixing and shuffling: 8 units count, 8 pack, and so on."""
    runs = [(tmp_path / f"{name}-{units}", config, units) for name, config in CONFIGS.items() for units in (5, 13, 22)]
    argument = pickle.dumps(([str(p) for p in pools], BYTES, [(str(o), c, u) for o, c, u in runs])).hex()
    done = subprocess.run([sys.executable, "-c", KILLED, argument], env=dict(os.environ), check=False)
    assert done.returncode == 0
    for out, config, _ in runs:
        assert not (out / "record.json").exists()
        name = out.name.partition("-")[0]
        assert made(pools, out, config) == made(pools, tmp_path / f"clean-{name}", config)


@pytest.mark.slow
def test_ray_makes_the_same_bytes(pools: list[Path], tmp_path: Path) -> None:
    with open_engine("ray", 2) as engine:
        for name, config in CONFIGS.items():
            tokenize(pools, tmp_path / f"ray-{name}", tokenizer=BYTES, config=config, engine=engine)
    for name, config in CONFIGS.items():
        assert made(pools, tmp_path / f"ray-{name}", config) == made(pools, tmp_path / f"here-{name}", config)
