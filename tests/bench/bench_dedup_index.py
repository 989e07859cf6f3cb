"""Adding a crawl to an existing corpus: against an index, as one run over everything, with datasketch and with rensa.

`python -m tests.bench.bench_dedup_index [B [A…]]`: B documents are added to A. CPU seconds of this process, in which
all units run; documents of 100 words, a tenth of which are copies with a changed word. The engine reads JSONL and
writes documents and ledgers; datasketch and rensa receive texts in memory and keep their tables there. datasketch
stores tables on disk only in servers (Redis, Cassandra), so its table is also pickled: loaded, queried and extended by
B, and written again, which is what keeping it between two crawls takes without a server.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from datasketch import MinHash as Sketch
from datasketch import MinHashLSH
from rensa import RMinHash, RMinHashLSH

from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.indexes.index import build_index
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.dedup.index.indexed import Indexed
from dclm.dedup.minhash.step import MinHash
from dclm.pool.files import list_files
from tests.bench.rows import report

BANDS, ROWS = 14, 8
MOST_WITH_OTHERS = 40_000
"""Number of documents of A for datasketch and rensa, which are slow."""


def text(seed: int, number: int) -> str:
    draw = random.Random(f"{seed} {number - 1 if number % 10 == 9 else number}")
    words = [f"w{draw.randrange(50_000)}" for _ in range(100)]
    if number % 10 == 9:
        words[50] = "changed"
    return " ".join(words)


def write(folder: Path, seed: int, count: int) -> Path:
    """Files of 10,000 documents; the first tenth of seeds other than 1 is that of seed 1."""
    folder.mkdir()
    for start in range(0, count, 10_000):
        with (folder / f"{start:08d}.jsonl").open("w") as file:
            for number in range(start, min(count, start + 10_000)):
                whose = 1 if number < count // 10 else seed
                file.write(json.dumps({"text": text(whose, number)}) + "\n")
    return folder


def timed(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def run(step: Indexed, pools: list[Path], out: Path) -> Record:
    files = list_files([str(pool) for pool in pools])
    return curate(bind(Pipeline(name="bench", steps=(step,))), files, out, CurateOptions(), SerialEngine())


def ours(name: str, plain: Indexed, known: Callable[[Path], Indexed], root: Path, a: Path, b: Path) -> float:
    """Print what each way takes; returns the CPU seconds of B against the index of A and into it."""
    engine, new = SerialEngine(), list_files([str(b)])
    index, both = root / f"{name}-index", root / f"{name}-both"
    made = timed(lambda: build_index(plain, list_files([str(a)]), str(index), engine))
    against = timed(lambda: run(known(index), [b], root / f"{name}-b"))
    add = timed(lambda: build_index(plain, new, str(both), engine, include=[str(index)]))
    whole = timed(lambda: run(plain, [a, b], root / f"{name}-all"))
    size = sum(p.stat().st_size for p in index.rglob("*") if p.is_file()) / 1e6
    report(f"{name}: index of A, {size:,.0f} MB", "CPU s", made)
    report(f"{name}: B against A's index and into it", "CPU s", against + add, beside="all again", theirs=whole)
    return against + add


def shingles(seed: int, number: int) -> list[str]:
    words = text(seed, number).split()
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]


def with_datasketch(a: int, b: int, store: Path | None) -> tuple[float, float]:
    """CPU seconds for A, and for B against it and into it. store: where the table is kept between the two."""
    lsh = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS), storage_config={"type": "dict"})

    def sketch(seed: int, number: int) -> Sketch:
        made = Sketch(num_perm=BANDS * ROWS)
        made.update_batch([s.encode() for s in shingles(seed, number)])
        return made

    def add(table: MinHashLSH, seed: int, count: int) -> None:
        for number in range(count):
            made = sketch(seed, number)
            if not table.query(made):
                table.insert((seed, number), made)
        if store is not None:
            store.write_bytes(pickle.dumps(table))

    def more() -> None:
        add(lsh if store is None else pickle.loads(store.read_bytes()), 2, b)

    return timed(lambda: add(lsh, 1, a)), timed(more)


def with_rensa(a: int, b: int) -> tuple[float, float]:
    lsh = RMinHashLSH(0.8, BANDS * ROWS, BANDS)

    def add(seed: int, count: int) -> None:
        for number in range(count):
            made = RMinHash(num_perm=BANDS * ROWS, seed=1)
            made.update(shingles(seed, number))
            if not lsh.query(made):
                lsh.insert(seed * 10**9 + number, made)

    return timed(lambda: add(1, a)), timed(lambda: add(2, b))


def main(b: int, sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        warm = write(root / "warm", 3, 100)
        (root / "w").mkdir()
        ours("warm", Exact(), lambda i: Exact(against=(str(i),)), root / "w", warm, warm)
        ours("compiled", MinHash(), lambda i: MinHash(against=(str(i),)), root / "w", warm, warm)
        pool_b = write(root / "b", 2, b)
        mine = {}
        for a in sizes:
            here = root / str(a)
            here.mkdir()
            pool_a = write(here / "a", 1, a)
            print(f"A = {a:,}, B = {b:,}")
            ours("exact", Exact(), lambda i: Exact(against=(str(i),)), here, pool_a, pool_b)
            plain = MinHash(bands=BANDS, rows=ROWS)
            mine[a] = ours(
                "minhash", plain, lambda i: MinHash(bands=BANDS, rows=ROWS, against=(str(i),)), here, pool_a, pool_b
            )
        growth = mine[sizes[-1]] / mine[sizes[0]]
        print(f"  minhash: A grows {sizes[-1] / sizes[0]:.1f} times, B costs {growth:.2f} times as much")
        for a in sizes:
            if a > MOST_WITH_OTHERS:
                continue
            for name, function in (
                ("datasketch, in memory", lambda a: with_datasketch(a, b, None)),
                ("datasketch, pickled", lambda a: with_datasketch(a, b, root / "lsh.pickle")),
                ("rensa, in memory", lambda a: with_rensa(a, b)),
            ):
                first, second = function(a)
                report(f"{name}: A = {a:,}", "CPU s", first)
                report(f"minhash: B against A = {a:,} and into it", "CPU s", mine[a], beside=name, theirs=second)


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:]]
    main(given[0] if given else 10_000, given[1:] or [20_000, 80_000])
