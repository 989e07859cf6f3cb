"""Duplicates between the sources of a recipe: whose copy is kept, what the ledger says, and how much sources share."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from dclm.board.result import read_result
from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.documents.overlaps import Overlaps, read_overlaps
from dclm.engine.local import LocalEngine
from dclm.recipe.across import training_documents
from dclm.recipe.layout import Layout
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import load_recipe
from dclm.recipe.run import Run, RunOptions
from dclm.recipe.verify.run import verify
from dclm.tokens.documents import find_documents, read_texts

U = TypeVar("U")
R = TypeVar("R")

BYTES = Path(__file__).resolve().parent.parent.parent / "recipes" / "experiments" / "bytes.json"
NAMES = ("crawl", "books", "wiki")
RECIPE = """
name: across
data:
  - {name: crawl, pool: {jsonl: [crawl]}, pipeline: p.yaml}
  - {name: books, pool: {jsonl: [books]}, pipeline: p.yaml}
  - {name: wiki, pool: {jsonl: [wiki]}, pipeline: p.yaml}
dedup_across: {RULE}
tokenizer: BYTES
scale: bytes-74k
tokens: 20480
epochs: 3
tasks: [copa]
limit: 5
"""
PIPELINE = "name: p\nsteps:\n  - page_length: {of: word, min: 4}\n"
EXACT = "{exact: {}, prefer: [wiki, books]}"
NEAR = "{exact: {}, minhash: {bands: 40, rows: 2, ngram: 2, verify: 0.6}, prefer: [wiki, books]}"


def planted(seed: int = 7) -> dict[str, list[tuple[int, str]]]:
    """Source → (base, text) of its documents: copies of a base are equal, or differ by one word of forty."""
    draw = random.Random(seed)
    bases = [[f"w{draw.randrange(10**6)}" for _ in range(40)] for _ in range(30)]
    found: dict[str, list[tuple[int, str]]] = {}
    for name in NAMES:
        found[name] = []
        for number in range(24):
            base = draw.randrange(len(bases))
            words = list(bases[base])
            if draw.random() < 0.5:
                words[draw.randrange(40)] = f"{name}{number}"
            found[name].append((base, " ".join(words)))
    return found


def write(root: Path, rule: str, documents: dict[str, list[tuple[int, str]]]) -> Path:
    root.mkdir(exist_ok=True)
    (root / "p.yaml").write_text(PIPELINE, encoding="utf-8")
    for name, texts in documents.items():
        (root / name).mkdir(exist_ok=True)
        for part in range(2):
            lines = [
                json.dumps({"id": f"{name}-{number}", "text": text}) + "\n"
                for number, (_, text) in enumerate(texts)
                if number % 2 == part
            ]
            (root / name / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
    path = root / "r.yaml"
    path.write_text(RECIPE.replace("BYTES", str(BYTES)).replace("{RULE}", rule), encoding="utf-8")
    return path


def run(path: Path, engine: Engine | None = None, until: str = "curate", force: bool = False) -> tuple[Path, list[str]]:
    said: list[str] = []
    options = RunOptions(until=until, say=said.append, force=force)  # type: ignore[arg-type]
    out = path.parent / f"out-{path.stem}"
    Run(load_recipe(path), out, engine or SerialEngine(), options).execute()
    return out, said


def in_order(documents: dict[str, list[tuple[int, str]]], key: str) -> list[tuple[str, str, object, int]]:
    """(source, id, what makes documents equal, characters) of everything, best source first, as its files have it."""
    found = []
    for name in ("wiki", "books", "crawl"):
        numbered = list(enumerate(documents[name]))
        for number, (base, text) in [*numbered[::2], *numbered[1::2]]:
            found.append((name, f"{name}-{number}", base if key == "base" else text, len(text)))
    return found


def oracle(
    documents: dict[str, list[tuple[int, str]]], key: str
) -> tuple[dict[str, str], dict[str, dict[str, set[str]]]]:
    """Dropped id → id kept instead; source → other source → ids that the other has too."""
    rows = in_order(documents, key)
    first: dict[object, str] = {}
    gone = {}
    for _, name, value, _ in rows:
        if value in first:
            gone[name] = first[value]
        first.setdefault(value, name)
    shared = {
        mine: {
            other: {
                i for s, i, v, _ in rows if s == mine and any(v == w and i != j and t == other for t, j, w, _ in rows)
            }
            for other in NAMES
        }
        for mine in NAMES
    }
    return gone, shared


def ledger(out: Path) -> list[list[dict[str, object]]]:
    return [pq.read_table(path).to_pylist() for path in sorted((out / "across" / "ledger").iterdir())]


@pytest.mark.parametrize(("rule", "key"), [(EXACT, "text"), (NEAR, "base")], ids=["exact", "near"])
def test_one_copy_is_kept_and_the_ledger_says_of_which_source(rule: str, key: str, tmp_path: Path) -> None:
    documents = planted()
    out, said = run(write(tmp_path / "r", rule, documents))
    gone, shared = oracle(documents, key)
    shards = ledger(out)
    dropped = [row for rows in shards for row in rows if row["step"] is not None]
    assert {row["id"] for row in dropped} == set(gone)
    source_of = {name: name.partition("-")[0] for row in dropped for name in [str(row["id"])]}
    assert all(row["source_name"] == source_of[str(row["id"])] for row in dropped)
    for row in dropped:
        kept = shards[int(str(row["kept_shard"]))][int(str(row["kept_row"]))]
        if kept["step"] is None:  # otherwise the kept document went at the second step, for another one
            assert kept["id"] == gone[str(row["id"])]
        assert kept["source_name"] == str(kept["id"]).partition("-")[0]
    found = read_overlaps(read_record(out / "across"))
    assert found is not None
    assert found.sources == ("wiki", "books", "crawl")
    length = {name: size for _, name, _, size in in_order(documents, key)}
    for row, mine in enumerate(found.sources):
        assert (found.documents[row], found.characters[row]) == (24, sum(len(t) for _, t in documents[mine]))
        for column, other in enumerate(found.sources):
            assert found.found[row][column] == len(shared[mine][other])
            assert found.found_characters[row][column] == sum(length[name] for name in shared[mine][other])
    assert sum(map(sum, found.dropped)) == len(gone)
    wiki, books = found.dropped[0], found.dropped[1]
    assert wiki[1] == wiki[2] == books[2] == 0
    assert any(line.startswith("across crawl: 24 documents, dropped") and "also in wiki" in line for line in said)


def test_tokens_are_made_from_what_stays_source_by_source(tmp_path: Path) -> None:
    documents = planted()
    path = write(tmp_path / "r", NEAR, documents)
    out, _ = run(path, until="tokenize")
    gone, _ = oracle(documents, "base")
    counts = read_record(out / "tokens").counts
    assert counts["documents"] == 72 - len(gone)
    for part in training_documents(Layout(out=str(out), loaded=load_recipe(path)), NAMES):
        source = find_documents(part)
        texts = [text for file in source.files for batch in read_texts(file) for text in batch]
        kept = [text for i, (_, text) in enumerate(documents[source.name]) if f"{source.name}-{i}" not in gone]
        assert sorted(texts) == sorted(kept)
    sources = counts["sources"]
    assert isinstance(sources, list)
    assert [source["name"] for source in sources] == list(NAMES)
    assert not [finding for finding in verify(str(out)).findings if finding[0] != "outside"]
    before = read_record(out / "tokens").fingerprint
    path.write_text(path.read_text().replace("prefer: [wiki, books]", "prefer: [crawl]"))
    run(path, until="tokenize", force=True)
    found = read_overlaps(read_record(out / "across"))
    assert found is not None
    assert found.sources == ("crawl", "books", "wiki")
    assert sum(found.dropped[0][1:]) == 0
    assert read_record(out / "tokens").fingerprint != before


class Stopped(Exception):
    """The process ended."""


class StopsAfter(SerialEngine):
    """Ends the run after a number of units."""

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


def made_across(path: Path, engine: Engine | None = None) -> tuple[str, str, object]:
    record = read_record(run(path, engine)[0] / "across")
    return record.fingerprint, record.digest, record.files


def test_a_run_that_stops_anywhere_continues_to_the_same_bytes(tmp_path: Path) -> None:
    calm = made_across(write(tmp_path / "calm", NEAR, planted()))
    path = write(tmp_path / "hurt", NEAR, planted())
    stops = 0
    while True:
        try:
            made = made_across(path, StopsAfter(13))
            break
        except Stopped:
            stops += 1
    assert stops >= 4
    assert made == calm


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    path = write(tmp_path / "r", NEAR, planted())
    one = made_across(path)
    shutil.rmtree(path.parent / "out-r" / "across")
    assert made_across(path, LocalEngine(2)) == one


def test_reports_show_the_matrix_and_why_names_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = planted()
    out, _ = run(write(tmp_path / "r", EXACT, documents))
    main(["report", str(out), "--tokenizer", "none"])
    page = (out / "across" / "report.html").read_text(encoding="utf-8")
    found = read_overlaps(read_record(out / "across"))
    assert found is not None
    share = found.share(2, 0)
    assert share is not None
    assert f"{share:.1%} of crawl is in wiki" in page  # the picture's alternative
    assert page.count(f"<td>{share:.1%}</td>") >= 1
    assert f"<td>{found.share_of_characters(2, 0):.1%}</td>" in page
    assert "Overlap of sources" not in (out / "documents" / "wiki" / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    main(["dedup", "report", str(out / "across"), "--json"])
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["source_overlaps"] == json.loads(json.dumps(found.to_json()))
    assert numbers["overlaps"]["sources"] == sorted(NAMES)
    gone, _ = oracle(documents, "text")
    lost = next(name for name, kept in gone.items() if kept.startswith("wiki") and not name.startswith("wiki"))
    main(["why", lost, "--in", str(out)])
    told = capsys.readouterr().out
    assert f"kept_id={gone[lost]}" in told
    assert "kept_source=wiki" in told


def test_a_plan_says_whose_copy_is_kept(tmp_path: Path) -> None:
    lines = list(plan_lines(load_recipe(write(tmp_path / "r", EXACT, planted()))))
    assert "across     exact, best source first: wiki, books, crawl → OUT/across" in lines


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("{prefer: [wiki]}", "give `exact`, `minhash` or both"),
        ("{exact: {}, prefer: [wki]}", "names wki, allowed: crawl, books, wiki"),
        ("{exact: {}, prefer: [wiki, wiki]}", "names a source twice"),
        ("{exact: {of: line}}", "compares whole documents here"),
        ("{exakt: {}}", "exakt"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rule: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=what):
        load_recipe(write(tmp_path / "r", rule, planted()))


def test_shares_of_nothing_are_unknown() -> None:
    none = Overlaps(
        sources=("a",), files=(1,), documents=(0,), characters=(0,), dropped=((0,),), found=((0,),),
        found_characters=((0,),),
    )  # fmt: skip
    assert none.share(0, 0) is None
    assert none.share_of_characters(0, 0) is None


@pytest.mark.slow
@pytest.mark.network
def test_the_result_names_what_sources_share_and_can_be_verified(tmp_path: Path) -> None:
    out, _ = run(write(tmp_path / "r", NEAR, planted()), until="evaluate")
    result = read_result(out / "result.json")
    found = read_overlaps(read_record(out / "across"))
    assert found is not None
    crawl = result.data.counts["crawl"]
    assert isinstance(crawl, dict)
    assert crawl["across"]["found_in"]["wiki"]["documents"] == found.found[2][0]
    assert crawl["across"]["dropped"] == sum(found.dropped[2])
    assert [link.kind for link in result.chain].count("documents") == 4
    assert not [finding for finding in verify(str(out)).findings if finding[0] != "outside"]
    assert np.isfinite(result.training.tokens or np.nan)
