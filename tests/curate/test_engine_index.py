"""Indexes: one run over A ∪ B keeps the same as A alone and B against the index of A; and which indexes are refused."""

from __future__ import annotations

import dataclasses
import json
import random
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from engine_steps import write_pool
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_text_dedup import Stopped, StopsAfter

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record, read_record
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
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files

ROOM = 20_000
STEPS: dict[str, Indexed] = {
    "exact": Exact(),
    "normalized": Exact(normalize="whitespace_and_lowercase", min_length=3),
    "url": Exact(of="url", normalize="url"),
    "line": Exact(of="line"),
    "substring": Substring(min_tokens=4),
    "bloom": Bloom(mode="paragraph", min_ngram=3, max_ngram=3, fp_rate=1e-6),
    "old-both": Bloom(min_ngram=2, max_ngram=3, fp_rate=1e-6),
}
WORDS = ["red", "green", "blue", "Red", "old"]
LINES = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
TEXTS = st.lists(st.lists(LINES, max_size=3).map("\n".join), min_size=1, max_size=8)


def write(folder: Path, texts: list[str], shards: int = 1) -> Path:
    """A pool; documents of equal first words have equal URLs."""
    folder.mkdir(parents=True)
    for shard in range(shards):
        with (folder / f"{shard:02d}.jsonl").open("w") as file:
            for number, text in enumerate(texts[shard::shards]):
                url = f"http://{(text.split() or ['none'])[0]}.example/"
                file.write(json.dumps({"text": text, "url": url, "id": f"{folder.name}-{shard}-{number}"}) + "\n")
    return folder


def index(step: Indexed, pool: Path, out: Path, engine: Engine | None = None, include: tuple[Path, ...] = ()) -> Record:
    room = ROOM if isinstance(step, Bloom) and not include else None
    files = list_files([str(pool)])
    names = [str(i) for i in include]
    return build_index(step, files, str(out), engine or SerialEngine(), include=names, room=room, force=True)


def run(step: Indexed, pools: list[Path], out: Path, engine: Engine | None = None) -> list[list[str]]:
    """The remaining documents of each pool, in order."""
    files = list_files([str(pool) for pool in pools])
    options = CurateOptions(max_reject_fraction=1.0)
    curate(bind(Pipeline(name="test", steps=(step,))), files, out, options, engine or SerialEngine(), force=True)
    kept = [row for path in sorted((out / "documents").iterdir()) for row in pq.read_table(path).to_pylist()]
    return [[row["text"] for row in kept if row["id"].startswith(f"{pool.name}-")] for pool in pools]


def against(step: Indexed, *indexes: Path) -> Indexed:
    return dataclasses.replace(step, against=tuple(str(i) for i in indexes))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=2, deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_one_run_keeps_what_a_run_and_runs_against_its_index_keep(
    name: str, a: list[str], b: list[str], c: list[str]
) -> None:
    step = STEPS[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pools = [write(root / n, texts) for n, texts in zip("abc", (a, b, c), strict=True)]
        if isinstance(step, Bloom):  # a filter of one run is sized by its n-grams; here all are made for as many
            index(step, write(root / "empty", [""]), root / "first")
            step = step.__class__(**(vars(step) | {"against": (str(root / "first"),)}))
            base: tuple[Path, ...] = (root / "first",)
        else:
            base = ()
        together = run(step, pools, root / "together")
        assert run(step, pools[:1], root / "one")[0] == together[0]
        plain = STEPS[name]
        index(plain, pools[0], root / "ia", include=base)
        assert run(against(plain, root / "ia"), pools[1:2], root / "two")[0] == together[1]
        index(plain, pools[1], root / "iab", include=(root / "ia",))
        assert run(against(plain, root / "iab"), pools[2:], root / "three")[0] == together[2]
        if not base:
            index(plain, pools[1], root / "ib")
            assert run(against(plain, root / "ia", root / "ib"), pools[2:], root / "four")[0] == together[2]


@settings(max_examples=4, deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 3))
def test_linked_documents_go_as_in_one_run(a: list[str], b: list[str], links: int) -> None:
    """Checked for the documents of B. Alone, A keeps more if only B links two of its documents."""
    step = MinHash(bands=2, rows=1, ngram=2, links_in_memory=links)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pools = [write(root / "a", a), write(root / "b", b)]
        index(step, pools[0], root / "ia")
        together = run(step, pools, root / "together")
        assert run(against(step, root / "ia"), pools[1:], root / "two")[0] == together[1]
        assert set(together[0]) <= set(run(step, pools[:1], root / "one")[0])


def planted(seed: int, count: int) -> list[str]:
    """Texts of 60 words in groups of four, whose second is near the first and whose third is equal to it."""
    texts = []
    for number in range(count):
        draw = random.Random(f"{seed} {number // 4}")
        words = [f"w{draw.randrange(10**6)}" for _ in range(60)]
        if number % 4 == 1:
            words[7] = "changed"
        if number % 4 == 3:
            words = [f"x{number}y{seed}z{k}" for k in range(60)]
        texts.append(" ".join(words))
    return texts


def test_verified_duplicates_of_an_index_go_with_their_similarity(tmp_path: Path) -> None:
    step = MinHash(bands=30, rows=4, verify=0.7)
    texts = planted(1, 40)
    random.Random(0).shuffle(texts)
    pools = [write(tmp_path / "a", texts[:20], 2), write(tmp_path / "b", texts[20:], 2)]
    together = run(step, pools, tmp_path / "together")
    index(step, pools[0], tmp_path / "ia")
    assert run(step, pools[:1], tmp_path / "one")[0] == together[0]
    assert run(against(step, tmp_path / "ia"), pools[1:], tmp_path / "two")[0] == together[1]
    ledger = pq.read_table(tmp_path / "two" / "ledger").to_pylist()
    known = [r for r in ledger if r["rule"] == "in_index"]
    assert len(known) > 4
    assert all(r["kept_row"] is None and r["similarity"] >= 0.7 for r in known)
    assert {r["similarity"] == 1.0 for r in known} == {True, False}
    decisions = read_record(tmp_path / "two").counts["decisions"]
    assert isinstance(decisions, dict)
    assert decisions["0:minhash"]["in_index"] == len(known)


@pytest.mark.parametrize(
    "step",
    [Exact(), MinHash(bands=30, rows=4, verify=0.7), Substring(min_tokens=8), Bloom(mode="document", fp_rate=1e-3)],
    ids=lambda s: s.name,
)
def test_bytes_do_not_depend_on_workers_or_interruptions(step: Indexed, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", planted(1, 60), 3), write(tmp_path / "b", planted(1, 40) + planted(2, 40), 3)
    calm = index(step, a, tmp_path / "calm")
    with pytest.raises(Stopped):
        index(step, a, tmp_path / "hurt", StopsAfter(3 if isinstance(step, Bloom) else 9))
    assert index(step, a, tmp_path / "hurt", SerialEngine()).files == calm.files
    known = against(step, tmp_path / "calm")
    kept = run(known, [b], tmp_path / "b1", SerialEngine())
    run(against(step, tmp_path / "hurt"), [b], tmp_path / "b4", SerialEngine())
    once, again = read_record(tmp_path / "b1"), read_record(tmp_path / "b4")
    assert once.fingerprint == again.fingerprint  # the location of an index makes no difference
    assert once.files == again.files
    assert 0 < len(kept[0]) < 80


@pytest.mark.slow
def test_four_workers_make_the_same_bytes(tmp_path: Path) -> None:
    step = MinHash(bands=30, rows=4, verify=0.7, keep="longest", carry=("size",))
    a, b = write(tmp_path / "a", planted(1, 60), 3), write(tmp_path / "b", planted(1, 40) + planted(2, 40), 3)
    for name, engine in (("one", SerialEngine()), ("four", LocalEngine(4))):
        index(step, a, tmp_path / f"index-{name}", engine)
        run(against(step, tmp_path / f"index-{name}"), [b], tmp_path / f"out-{name}", engine)
    for kind in ("index", "out"):
        assert read_record(tmp_path / f"{kind}-one").files == read_record(tmp_path / f"{kind}-four").files


def test_a_filter_that_was_changed_is_refused(tmp_path: Path) -> None:
    """One flipped bit would silently drop other documents."""
    step = STEPS["bloom"]
    pool = write(tmp_path / "pool", planted(1, 8))
    index(step, pool, tmp_path / "index")
    data = bytearray((tmp_path / "index" / "filter.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "index" / "filter.bin").write_bytes(data)
    with pytest.raises(DataError, match=r"filter\.bin"):
        run(against(step, tmp_path / "index"), [pool], tmp_path / "out")


def test_what_an_index_holds_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", ["one", "two"]), write(tmp_path / "b", ["one", "three"])
    index(Exact(), a, tmp_path / "index")
    assert run(against(Exact(), tmp_path / "index"), [b], tmp_path / "out") == [["three"]]
    (a / "00.jsonl").write_text(json.dumps({"text": "three", "id": "a"}) + "\n")
    index(Exact(), a, tmp_path / "index")
    assert run(against(Exact(), tmp_path / "index"), [b], tmp_path / "out") == [["one"]]


def test_indexes_that_a_step_cannot_use_are_refused_by_name(tmp_path: Path) -> None:
    a = write(tmp_path / "a", planted(1, 4))
    index(MinHash(), a, tmp_path / "minhash")
    build_index(Bloom(), list_files([str(a)]), str(tmp_path / "bloom"), SerialEngine())  # with room only for these

    def refused(step: Indexed, match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            bind(Pipeline(name="test", steps=(step,)))

    refused(
        against(MinHash(bands=5, seed=2), tmp_path / "minhash"), r"bands: 93, allowed: 5, as in the step \(and seed\)"
    )
    refused(against(MinHash(verify=0.8), tmp_path / "minhash"), "verify: False, allowed: True")
    refused(against(Exact(), tmp_path / "minhash"), "an index for `minhash`, allowed: one for `exact`")
    with pytest.raises(ConfigError, match="with ngram: 5, allowed: 6"):
        index(MinHash(ngram=6), a, tmp_path / "other", include=(tmp_path / "minhash",))
    run(Exact(), [a], tmp_path / "documents")
    refused(against(Exact(), tmp_path / "documents"), "kind documents, allowed: index")
    with pytest.raises(ConfigError, match=r"has room for .* n-grams, found .*\n.*--room"):
        run(against(Bloom(), tmp_path / "bloom"), [write(tmp_path / "b", planted(3, 60))], tmp_path / "out")
    with pytest.raises(ValueError, match="one partition"):
        Bloom(partitions=2, against=("x",))


def test_an_index_with_sets_serves_steps_that_verify_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a", planted(1, 4))
    index(MinHash(verify=0.9), a, tmp_path / "index")
    assert run(against(MinHash(), tmp_path / "index"), [write(tmp_path / "b", planted(1, 8))], tmp_path / "out") == [
        run(MinHash(), [write(tmp_path / "c", planted(1, 8)[4:])], tmp_path / "plain")[0]
    ]


def test_equal_documents_are_one_key_and_empty_files_add_none(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["a b c d e f"], [], ["a b c d e f", "g"]])
    record = index(Exact(), pool, tmp_path / "index")
    assert record.counts["documents"] == 3
    assert record.counts["runs"] == [{"documents": 3, "keys": {"values": 2}}]
