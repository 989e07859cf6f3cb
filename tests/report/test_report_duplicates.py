"""`dclm dedup report`: numbers are those of plain Python over the ledger, thresholds those of runs with them."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline, Pipeline
from dclm.curate.stage import curate
from dclm.curate.step import Step
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.pool.files import list_files
from dclm.report.duplicates import build_duplicate_report
from dclm.report.duplicates_page import render_duplicates

NEAR = MinHash(bands=40, rows=2, ngram=2, verify=0.7, pairs_from=0.4)


def write(root: Path) -> Path:
    """Three sources of 40 documents each, with near copies within and between them."""
    draw = random.Random(5)
    bases = [[f"w{draw.randrange(10**6)}" for _ in range(40)] for _ in range(12)]
    for name in ("books", "crawl", "wiki"):
        folder = root / "pool" / name
        folder.mkdir(parents=True)
        with (folder / "0.jsonl").open("w") as file:
            for number in range(40):
                words = list(draw.choice(bases))
                for at in draw.sample(range(40), draw.choice([0, 0, 1, 2, 3, 5, 8])):
                    words[at] = f"<b>{name}{number}"
                url = f"http://{name}{number % 3}.example/{number}"
                file.write(json.dumps({"text": " ".join(words), "url": url, "id": f"{name}-{number}"}) + "\n")
    return root / "pool"


def make(pool: Path, out: Path, *steps: Step) -> Path:
    bound = BoundPipeline(pipeline=Pipeline(name="test", steps=steps), files={}, hashes={})
    curate(bound, list_files([str(pool)]), out, CurateOptions(), SerialEngine())
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("duplicates")
    pool = write(root)
    return pool, make(pool, root / "out", NEAR)


def ledger(artifact: Path) -> list[list[dict[str, object]]]:
    return [pq.read_table(path).to_pylist() for path in sorted((artifact / "ledger").iterdir())]


def test_the_numbers_are_those_of_the_ledger(made: tuple[Path, Path]) -> None:
    shards = ledger(made[1])
    gone = [row for rows in shards for row in rows if row["step"]]
    kept = [shards[int(str(r["kept_shard"]))][int(str(r["kept_row"]))] for r in gone]
    found = build_duplicate_report(made[1])
    assert (found.step, found.dropped, found.in_index) == ("minhash", len(gone), 0)
    sizes = Counter(Counter(str(r["id"]) for r in kept).values())
    assert sum(c for c, _ in found.sizes.values()) == sum(sizes.values())
    assert sum(d for _, d in found.sizes.values()) == sum((s + 1) * c for s, c in sizes.items())
    names = ["books", "crawl", "wiki"]
    assert list(found.sources) == names
    pairs = Counter(
        (str(g["source"]).split("/")[0], str(k["source"]).split("/")[0]) for g, k in zip(gone, kept, strict=True)
    )
    assert found.overlaps.tolist() == [[pairs[a, b] for b in names] for a in names]
    assert sum(found.similarities) == len(gone)
    assert all(not count for count in found.similarities[:14])
    domains = Counter(
        (str(g["url"]).split("/")[2], str(k["url"]).split("/")[2]) for g, k in zip(gone, kept, strict=True)
    )
    assert {(a, b): n for a, b, n in found.domains} == {
        pair: n for pair, n in domains.most_common() if pair[0] != pair[1]
    } or len(found.domains) == 25
    assert found.domains[0][2] == max(n for (a, b), n in domains.items() if a != b)


def test_thresholds_are_what_runs_with_them_drop(made: tuple[Path, Path], tmp_path: Path) -> None:
    found = {t.threshold: t.dropped for t in build_duplicate_report(made[1]).thresholds}
    assert min(found) == 0.4
    assert max(found) == 1.0
    for threshold in (0.4, 0.55, 0.7, 0.85, 1.0):
        step = dataclasses.replace(NEAR, verify=threshold, pairs_from=None)
        out = make(made[0], tmp_path / str(threshold), step)
        assert found[threshold] == sum(1 for rows in ledger(out) for row in rows if row["step"])
    assert found[0.4] > found[0.7] > found[1.0] > 0


def test_patterns_name_the_sources(made: tuple[Path, Path]) -> None:
    found = build_duplicate_report(made[1], sources=("wiki", "b*"))
    assert list(found.sources) == ["wiki", "b*", "other"]
    assert found.overlaps.sum() == found.dropped


def test_the_preferred_source_keeps_its_copies(made: tuple[Path, Path], tmp_path: Path) -> None:
    step = dataclasses.replace(NEAR, keep="preferred", prefer=("wiki", "books"))
    found = build_duplicate_report(make(made[0], tmp_path / "out", step))
    assert list(found.sources) == ["wiki", "books", "other"]
    (wiki, books, other) = found.overlaps.tolist()
    assert wiki[0] > 0
    assert wiki[1] == wiki[2] == 0
    assert books[0] > 0
    assert books[2] == 0
    assert other[0] > 0


def test_the_page_shows_diffs_and_escapes(made: tuple[Path, Path]) -> None:
    pool, artifact = made
    page = render_duplicates(build_duplicate_report(artifact, pool=list_files([str(pool)])))
    assert "<del>" in page
    assert "&lt;b&gt;" in page
    assert "<b>books" not in page
    assert "0.7 (now)" in page
    assert page == render_duplicates(build_duplicate_report(artifact, pool=list_files([str(pool)])))


def test_the_command_writes_a_page_or_numbers(made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["dedup", "report", str(made[1]), "--clusters", "2"])
    assert (made[1] / "duplicates.html").read_text().startswith("<!DOCTYPE html>")
    capsys.readouterr()
    main(["dedup", "report", str(made[1]), "--json"])
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["step"] == "0:minhash"
    assert numbers["dropped"] == build_duplicate_report(made[1]).dropped


def test_steps_without_duplicates_or_several_are_told_apart(made: tuple[Path, Path], tmp_path: Path) -> None:
    out = make(made[0], tmp_path / "two", Exact(), NEAR)
    with pytest.raises(ConfigError, match=r"0 \(exact\), 1 \(minhash\)"):
        build_duplicate_report(out)
    assert build_duplicate_report(out, 0).step == "exact"
    assert "The step kept no pairs" in render_duplicates(build_duplicate_report(out, 0))
    with pytest.raises(ConfigError, match="found no document that step 7 dropped"):
        build_duplicate_report(out, 7)
    with pytest.raises(ValueError, match="may not exceed it"):
        MinHash(verify=0.5, pairs_from=0.6)
