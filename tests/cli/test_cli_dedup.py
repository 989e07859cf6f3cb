"""`dclm dedup`: clusters of a curated artifact, with texts from it and from the pool."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError, DataError
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline, Pipeline
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.documents.duplicates import largest_clusters, members, tables_of
from dclm.filters.rules.length import PageLength
from dclm.pool.files import InputFile, list_files

WORDS = [f"word{i}" for i in range(300)]


def text(seed: int, changed: int = 0) -> str:
    rng = random.Random(seed)
    words = rng.choices(WORDS, k=120)
    for i in range(changed):
        words[i * 40] = f"changed{i}"
    return " ".join(words)


SHARDS = [[text(1), "too short", text(2), text(1, 1)], [text(3), text(1, 2), text(2)]]


def make(root: Path, *steps: PageLength | MinHash | Exact) -> tuple[Path, Path]:
    """A pool and the documents artifact made from it."""
    pool = root / "pool"
    pool.mkdir()
    for number, texts in enumerate(SHARDS):
        lines = [json.dumps({"id": f"{number}-{i}", "url": f"http://x/{number}/{i}", "text": t})
                 for i, t in enumerate(texts)]  # fmt: skip
        (pool / f"{number}.jsonl").write_text("".join(line + "\n" for line in lines))
    bound = BoundPipeline(pipeline=Pipeline(name="test", steps=steps), files={}, hashes={})
    curate(
        bound,
        list_files([str(pool)]),
        root / "out",
        CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0),
        SerialEngine(),
    )
    return pool, root / "out"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    step = MinHash(bands=40, rows=3, verify=0.5)
    return make(tmp_path_factory.mktemp("dedup"), PageLength(of="word", min=5), step, PageLength(of="word", min=1))


def test_clusters_are_listed_by_size(made: tuple[Path, Path]) -> None:
    found = largest_clusters(tables_of(made[1], None), 9)
    assert [(c.number, c.documents, c.kept) for c in found] == [(0, 3, 1), (1, 2, 1)]


def test_members_have_the_texts_that_can_be_had(made: tuple[Path, Path]) -> None:
    pool, artifact = made
    stem = tables_of(artifact, 1)
    without = members(artifact, stem, 0, 9)
    assert [(m.id, m.kept, m.left_at, m.text) for m in without] == [
        ("0-0", True, None, text(1)), ("0-3", False, "minhash", None), ("1-1", False, "minhash", None),
    ]  # fmt: skip
    assert without[0].jaccard is None
    assert all(0.5 <= (m.jaccard or 0) < 1 for m in without[1:])
    given = members(artifact, stem, 0, 2, list_files([str(pool)]))
    assert [m.text for m in given] == [text(1), text(1, 1)]
    assert [m.text_from for m in given] == ["the artifact", "the pool"]


def test_what_cannot_be_shown_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    pool, artifact = made
    stem = tables_of(artifact, None)
    with pytest.raises(DataError, match="no cluster 7"):
        members(artifact, stem, 7, 9)
    with pytest.raises(ConfigError, match="01-minhash"):
        tables_of(artifact, 2)
    with pytest.raises(DataError, match=r"record 0\.jsonl#3 is z3, not 0-3"):
        members(artifact, stem, 0, 9, _other(tmp_path))
    with pytest.raises(DataError, match=r"no record 1\.jsonl#1"):
        members(artifact, stem, 0, 9, list_files([str(pool / "0.jsonl")]))
    plain = make(tmp_path, Exact())[1]
    with pytest.raises(ConfigError, match="no tables of clusters"):
        tables_of(plain, None)


def _other(root: Path) -> tuple[InputFile, ...]:
    (root / "0.jsonl").write_text("".join(json.dumps({"id": f"z{i}", "text": "z"}) + "\n" for i in range(9)))
    return list_files([str(root / "0.jsonl")])


def test_the_command_prints_members_and_what_differs(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pool, artifact = made
    main(["dedup", "clusters", str(artifact)])
    main(["dedup", "show", str(artifact), "0"])
    printed = capsys.readouterr().out
    assert "pass --pool" in printed
    main(["dedup", "show", str(artifact), "0", "--pool", str(pool)])
    printed = capsys.readouterr().out
    assert "changed0" in printed
    assert "pass --pool" not in printed
