"""A cache changes no byte: a run that starts before the changed step gives what a full run gives."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import ClassVar

import pyarrow.compute as pc
import pytest
from engine_steps import MinLength

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.own.code import find_code
from dclm.curate.own.load import own_step
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.segments import segments
from dclm.curate.stage import curate
from dclm.curate.step import Context, Filter, FilterFunction, Map, MapFunction, Step
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.engine.local import LocalEngine
from dclm.extract.step import Extract
from dclm.filters.rights.step import Rights
from dclm.filters.rules.length import PageLength
from dclm.filters.rules.repetition import Repetition
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample

SERIAL = SerialEngine()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("pool") / "sample", seed=4, documents=60, files=3) / "warc"


class Run:
    """Runs pipelines over one pool: with one cache, and without."""

    def __init__(self, pool: Path, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        self.said: list[str] = []
        self.limit: int | None = None
        self._number = 0

    def __call__(self, *steps: Step, cache: str | None = "cache", engine: Engine = SERIAL, seed: int = 0) -> Record:
        self.said.clear()
        self._number += 1
        return curate(
            bind(Pipeline(name="p", steps=steps)),
            list_files([str(self.pool)]),
            self.folder / f"out-{self._number}",
            CurateOptions(unit_bytes=0, seed=seed, limit=self.limit),
            engine,
            cache=None if cache is None else str(self.folder / cache),
            say=self.said.append,
        )

    @property
    def reused(self) -> list[str]:
        """What was reused, as it was announced."""
        return [line.partition(": reused ")[2] for line in self.said if ": reused " in line]


@pytest.fixture
def run(pool: Path, tmp_path: Path) -> Run:
    return Run(pool, tmp_path)


EXTRACT = Extract()
FIRST: tuple[Step, ...] = (EXTRACT, PageLength(min=5), Exact(), Repetition(), Bloom(min_ngram=2, max_ngram=2))
EDITS: dict[str, tuple[Step, ...]] = {
    "right after extraction": (EXTRACT, PageLength(min=60), *FIRST[2:]),
    "a global step": (*FIRST[:2], Exact(min_length=2000), *FIRST[3:]),
    "after a global step": (*FIRST[:3], MinLength(characters=900), FIRST[4]),
    "an ordered step": (*FIRST[:4], Bloom(min_ngram=3, max_ngram=3)),
    "one more at the end": (*FIRST, MinLength(characters=900)),
    "the last left out": FIRST[:-1],
    "the extractor": (Extract(encoding="detect"), *FIRST[1:]),
}
KEPT = ["3 of 3 units, step 0", "3 of 3 units, step 1", "3 of 3 units, steps 2 to 3"]
REUSED = {
    "right after extraction": (1, 3),
    "a global step": (1, 1),
    "after a global step": (2, 2),
    "an ordered step": (2, 2),
    "one more at the end": (3, 3),
    "the last left out": (2, 2),
    "the extractor": (0, 3),
}
"""How many segments the first run of the edited pipeline finds in the cache, and the second."""


TWO = LocalEngine(2)


@pytest.mark.parametrize(
    ("edit", "engine"),
    [*((edit, SERIAL) for edit in EDITS), ("after a global step", TWO)],
    ids=[*EDITS, "after a global step, 2 workers"],
)
def test_an_edited_pipeline_gives_the_bytes_of_a_full_run(edit: str, engine: Engine, run: Run) -> None:
    """The digest covers every byte of the artifact and every count."""
    whole = run(*EDITS[edit], cache=None)
    first = run(*FIRST, engine=engine)
    assert run.reused == []
    assert first.digest == run(*FIRST, cache=None).digest
    second = run(*EDITS[edit], engine=engine)
    assert run.reused == KEPT[: REUSED[edit][0]]
    third = run(*EDITS[edit], engine=engine)
    assert run.reused == KEPT[: REUSED[edit][1]]
    assert second.digest == third.digest == whole.digest
    assert second.counts == whole.counts


def test_an_edit_before_the_end_of_extraction_stores_no_pages(run: Run) -> None:
    steps = (Rights(), EXTRACT, PageLength(min=5))
    run(*steps)
    edited = (Rights(), Extract(encoding="detect"), PageLength(min=5))
    assert run(*edited).digest == run(*edited, cache=None).digest


def test_an_artifact_and_a_copy_of_its_files_are_different_pools(run: Run, tmp_path: Path) -> None:
    """The columns of an artifact's documents are kept, those of other files are not."""
    run(EXTRACT, scored(tmp_path), cache=None)
    made = tmp_path / "out-1"
    shutil.copytree(made / "documents", tmp_path / "copy")
    steps = (PageLength(min=60), MinLength(characters=400))
    digests = []
    for run.pool in (tmp_path / "copy", made):
        whole = run(*steps, cache=None)
        assert run(*steps).digest == whole.digest
        digests.append(whole.fingerprint)
    assert digests[0] != digests[1]


def scored(folder: Path) -> Step:
    (folder / "scores.py").write_text("def density(text) -> float:\n    return text.count('a') / (1 + len(text))\n")
    code = find_code("scores.py", folder)
    assert code is not None
    return own_step(code, "density")()


def test_the_second_edit_of_a_step_starts_right_before_it(run: Run) -> None:
    run(*FIRST)
    run(*FIRST[:3], MinLength(characters=500), FIRST[4])
    assert run.reused == ["3 of 3 units, step 0", "3 of 3 units, step 1"]
    last = run(*FIRST[:3], MinLength(characters=600), FIRST[4])
    assert run.reused == ["3 of 3 units, step 0", "3 of 3 units, step 1", "3 of 3 units, step 2"]
    assert last.digest == run(*FIRST[:3], MinLength(characters=600), FIRST[4], cache=None).digest


@pytest.mark.parametrize(("seed", "limit"), [(5, None), (0, 40)])
def test_other_options_share_no_work_that_they_change(run: Run, seed: int, limit: int | None) -> None:
    run(*FIRST)
    run.limit = limit
    found = run(*FIRST, seed=seed)
    assert run.reused == []
    assert found.digest == run(*FIRST, cache=None, seed=seed).digest


class Marking(Map):
    """Adds a column of its own that no file has in the end, for the step after it."""

    name: ClassVar[str] = "marking"

    def open(self, context: Context) -> MapFunction:
        return lambda batch: batch.append_column("_mark", pc.utf8_length(batch.column("text")))


class ByMark(Filter):
    name: ClassVar[str] = "by_mark"
    version: ClassVar[int] = 1

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: pc.greater(batch.column("_mark"), 300)


def test_what_a_step_notes_for_the_next_one_survives_a_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (EXTRACT, Marking(), ByMark())
    run(*steps)
    monkeypatch.setattr(ByMark, "version", 2)
    assert run(*steps).digest == run(*steps, cache=None).digest
    monkeypatch.setattr(ByMark, "version", 3)
    found = run(*steps)
    assert run.reused == KEPT[:2]
    assert found.digest == run(*steps, cache=None).digest


FILTER = "def keep(text):\n    return len(text) > %d\n"


def own(folder: Path, least: int) -> Step:
    (folder / "mine.py").write_text(FILTER % least)
    code = find_code("mine.py", folder)
    assert code is not None
    return own_step(code, "keep")()


def test_an_edit_of_a_filters_source_costs_the_steps_from_it_on(run: Run, tmp_path: Path) -> None:
    before = run(EXTRACT, PageLength(min=5), own(tmp_path, 100))
    after = run(EXTRACT, PageLength(min=5), own(tmp_path, 3000))
    assert run.reused == ["3 of 3 units, step 0"]
    assert str(after.counts["kept"]) != str(before.counts["kept"])
    assert after.digest == run(EXTRACT, PageLength(min=5), own(tmp_path, 3000), cache=None).digest


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["documents", "ledger", "samples", "quantities"])
def test_a_flipped_bit_in_a_stored_file_is_told_and_they_are_made_again(run: Run, tmp_path: Path, name: str) -> None:
    run(*FIRST)
    for path in (tmp_path / "cache").rglob(f"00001.{name}.parquet"):
        flip(path)
    found = run(EXTRACT, PageLength(min=60))
    changed = [line for line in run.said if line.endswith("has changed since it was written, and is made again")]
    assert len(changed) == 1
    assert run.reused == ["2 of 3 units, step 0"]
    assert found.digest == run(EXTRACT, PageLength(min=60), cache=None).digest


def test_a_flipped_bit_in_a_decision_is_refused(run: Run, tmp_path: Path) -> None:
    run(*FIRST)
    for path in (tmp_path / "cache").rglob("decision/drops.arrow"):
        flip(path)
    with pytest.raises(DataError, match=r"decision\nhas changed since it was written\nhint: delete .*cache"):
        run(*FIRST[:3], MinLength(characters=900))


def test_notes_on_the_last_pipeline_that_cannot_be_read_cost_a_cut_alone(run: Run, tmp_path: Path) -> None:
    run(*FIRST)
    (notes,) = (tmp_path / "cache").rglob("pipelines/*.json")
    notes.write_text("[")
    assert run(*FIRST[:2]).digest == run(*FIRST[:2], cache=None).digest


def test_the_work_of_the_last_segment_is_not_stored_twice(run: Run, tmp_path: Path) -> None:
    run(EXTRACT, PageLength(min=5))
    assert len(list((tmp_path / "cache").rglob("*.documents.parquet"))) == 3
    run(EXTRACT, PageLength(min=6))
    assert len(list((tmp_path / "cache").rglob("*.documents.parquet"))) == 3
    assert not list(tmp_path.glob("out-*/.work"))


def test_a_pool_of_text_is_not_stored_for_its_extraction(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [{"text": " ".join(draw.choices(["a", "bb", "ccc"], k=draw.randint(1, 30)))} for _ in range(50)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = Run(tmp_path / "pool.jsonl", tmp_path)
    for least in (4, 5, 6):
        steps = (EXTRACT, PageLength(min=3), MinLength(characters=10 * least))
        assert run(*steps).digest == run(*steps, cache=None).digest
    run(EXTRACT, PageLength(min=3), MinLength(characters=5))
    assert run.reused == ["1 of 1 units, steps 0 to 1"]


def test_a_cache_lies_apart_from_what_it_serves(run: Run, tmp_path: Path, pool: Path) -> None:
    with pytest.raises(ConfigError, match="is inside the input"):
        run(*FIRST, cache="out-1/cache")
    with pytest.raises(ConfigError, match="would overwrite the input"):
        run(*FIRST, cache=str(pool.parent))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(ConfigError, match="contains files that are not part of a cache, such as file"):
        run(*FIRST, cache="other")


def test_cuts_divide_local_steps_and_follow_global_ones() -> None:
    a, g = MinLength(characters=1), Exact()
    found = segments((a, a, g, a, g), cuts={1, 3})
    assert [(s.first, len(s.steps), s.head is None, s.tail is None) for s in found] == [
        (0, 1, True, True), (1, 1, True, False), (3, 0, False, True), (3, 1, True, False), (5, 0, False, True),
    ]  # fmt: skip
    assert segments((a, g), cuts={0}) == segments((a, g))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(MinLength):
    @property
    def runs_model(self) -> bool:
        return True


def test_batches_before_a_model_are_filled_anew_where_the_pipeline_is_divided_anyway() -> None:
    """Elsewhere a cut keeps the batches, so that the steps after it see the same ones."""
    a, model = MinLength(characters=1), Model(characters=1)
    assert [s.stored for s in segments((a, model, a))] == [False, False]
    assert [s.stored for s in segments((a, model, a), cuts={1, 2})] == [False, True, False]
    assert [s.stored for s in segments((a, a, model), cuts={1})] == [True, False, False]
