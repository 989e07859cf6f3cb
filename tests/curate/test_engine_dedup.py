"""Deduplication through the engine: corpora at the extremes, keys in many pieces, links joined in rounds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from engine_steps import bound, write_pool

from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.exchange import decision as exchange
from dclm.curate.exchange import keys, pieces
from dclm.curate.options import CurateOptions
from dclm.curate.stage import curate
from dclm.curate.step import Step
from dclm.dedup import memory
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files

PLAIN = MinHash(bands=10, rows=4)
VERIFIED = MinHash(bands=10, rows=4, verify=0.7)
STEPS: tuple[Step, ...] = (Exact(), PLAIN, VERIFIED, Bloom(mode="paragraph", min_ngram=5, max_ngram=5, fp_rate=1e-9))


def text(number: int, words: int = 40) -> str:
    return " ".join(f"w{number}x{k}" for k in range(words))


def changed(number: int) -> str:
    words = text(0).split()
    words[5 + number % 30] = f"only{number}"
    return " ".join(words)


def run(step: Step, shards: list[list[str]], work: Path, name: str = "out") -> tuple[Record, list[str]]:
    pool = write_pool(work / "pool", shards)
    record = curate(
        bound(step), list_files([str(pool)]), work / name, CurateOptions(unit_bytes=0, shard_bytes=0), SerialEngine()
    )
    kept = [
        t for path in sorted((work / name / "documents").iterdir()) for t in pq.read_table(path)["text"].to_pylist()
    ]
    return record, kept


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.name)
def test_everything_is_one_duplicate(tmp_path: Path, step: Step) -> None:
    assert run(step, [[text(0)] * 3000] * 3, tmp_path)[1] == [text(0)]


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.name)
def test_nothing_is_a_duplicate(tmp_path: Path, step: Step) -> None:
    shards = [[text(i) for i in range(s, 600, 3)] for s in range(3)]
    assert run(step, shards, tmp_path)[1] == [t for shard in shards for t in shard]


@pytest.mark.parametrize("step", [PLAIN, VERIFIED], ids=["plain", "verified"])
def test_documents_without_words_stay_and_short_ones_are_compared_whole(tmp_path: Path, step: Step) -> None:
    shards = [["", "a b", " \n"], ["A  B", "", "a b c", "a"], ["", "a"]]
    assert run(step, shards, tmp_path)[1] == ["", "a b", " \n", "", "a b c", "a", ""]


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.name)
def test_a_large_document(tmp_path: Path, step: Step) -> None:
    large = "\n".join(text(i, 20) for i in range(20_000))
    _, kept = run(step, [[large, text(-1)], [large]], tmp_path)
    assert kept == [large, text(-1)]


def test_one_large_cluster_is_verified_against_who_stays(tmp_path: Path) -> None:
    shards = [[changed(i) for i in range(s, 9000, 3)] for s in range(3)]
    record, kept = run(VERIFIED, [[text(0)], *shards], tmp_path)
    found = record.counts["decisions"]
    assert isinstance(found, dict)
    assert found["0:minhash"]["largest_cluster"] > 7000
    assert kept[0] == text(0)


@pytest.mark.parametrize(
    "step", [Exact(), Exact(of="line"), PLAIN, VERIFIED], ids=["exact", "line", "plain", "verified"]
)
def test_keys_that_are_written_in_many_parts_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    shards = [[f"{changed(i) if i % 3 else text(i % 50)}\nline {i % 7}" for i in range(s, 6000, 2)] for s in range(2)]
    once, kept = run(step, shards, tmp_path, "once")
    assert 50 < len(kept) <= 6000
    rounds: list[int] = []
    flush = keys.KeyWriter._flush
    monkeypatch.setattr(keys, "KEY_BYTES", 1000)
    monkeypatch.setattr(keys.KeyWriter, "_flush", lambda writer: (rounds.append(1), flush(writer))[1])
    often, _ = run(step, shards, tmp_path, "often")
    assert len(rounds) > 2 * len(shards)
    assert {f.path: f.sha256 for f in once.files} == {f.path: f.sha256 for f in often.files}


@pytest.mark.parametrize(
    "step", [Exact(), Exact(of="line"), PLAIN, VERIFIED], ids=["exact", "line", "plain", "verified"]
)
def test_merged_key_files_and_more_partitions_change_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """Merging changes no byte; more partitions change neither the documents nor the ledger."""
    shards = [[f"{changed(i) if i % 3 else text(i % 20)}\nline {i % 7}" for i in range(s, 700, 7)] for s in range(7)]
    plain, kept = run(step, shards, tmp_path, "plain")
    assert 20 < len(kept) <= 700
    monkeypatch.setattr(exchange, "MOST_FILES", 3)
    merged, _ = run(step, shards, tmp_path, "merged")
    assert {f.path: f.sha256 for f in merged.files} == {f.path: f.sha256 for f in plain.files}
    monkeypatch.setattr(keys, "_SHARDS_PER_16", 2)
    assert keys.partitions_for(step, 7) == 64  # type: ignore[arg-type]
    more, _ = run(step, shards, tmp_path, "more")
    chosen = [f for f in more.files if not f.path.startswith("tables/")]
    assert chosen == [f for f in plain.files if not f.path.startswith("tables/")]


@pytest.mark.parametrize(
    "step",
    [
        PLAIN,
        VERIFIED,
        dataclasses.replace(VERIFIED, keep="longest", carry=("size",)),
        dataclasses.replace(VERIFIED, verify_by="signatures", keep="longest"),
    ],
    ids=["plain", "verified", "longest with its cluster's size", "signatures"],
)
def test_small_pieces_and_rounds_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: MinHash) -> None:
    shards = [[changed(i) if i % 3 else text(i) for i in range(s, 600, 4)] for s in range(4)]
    plain, kept = run(step, shards, tmp_path, "plain")
    assert 100 < len(kept) < 500
    monkeypatch.setattr(pieces, "PIECE_BYTES", 500)
    monkeypatch.setattr(pieces, "PART_BYTES", 0)
    rounds, _ = run(dataclasses.replace(step, links_in_memory=1), shards, tmp_path, "rounds")
    assert {f.path: f.sha256 for f in plain.files} == {f.path: f.sha256 for f in rounds.files}


def test_filters_that_fit_one_by_one_but_not_together_are_refused_with_the_workers_that_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = write_pool(tmp_path / "pool", [[text(i) for i in range(s * 50, s * 50 + 50)] for s in range(3)])
    step = Bloom(mode="paragraph", min_ngram=5, max_ngram=5, partitions=3)
    files, options = list_files([str(pool)]), CurateOptions(unit_bytes=0, shard_bytes=0)
    one = step.holds(50 * 36)  # n-grams of a partition
    monkeypatch.setattr(memory, "room_bytes", lambda: 2 * one)
    with pytest.raises(ConfigError, match=r"3 partitions at once need .*\n.*use --workers 2"):
        curate(bound(step), files, tmp_path / "three", options, LocalEngine(3))
    assert curate(bound(step), files, tmp_path / "two", options, LocalEngine(2)).counts["kept"] == 150
    monkeypatch.setattr(memory, "room_bytes", lambda: one - 1)  # not even one: the step states what would suffice
    memory.check_together("bloom", [one] * 3, 3)
