"""The effect of each step: the numbers of a pipeline small enough to compute by hand."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner

from dclm.cli.documents.ablate import ablate as command
from dclm.core.errors import DataError
from dclm.core.stages.engine import SerialEngine
from dclm.core.stages.progress import NullProgress
from dclm.curate.pipeline import BoundPipeline, bind, load_pipeline
from dclm.pool.files import list_files
from dclm.report.ablation.page import render_ablation
from dclm.report.ablation.run import Ablation, ablate
from dclm.report.ablation.variants import MAX_FILES, needs

U = TypeVar("U")
R = TypeVar("R")
PIPELINE = """
name: <by hand>
steps:
  - page_length: {of: word, min: 2}
  - word_count: {column: n}
  - threshold: {column: n, min: 3}
  - exact: {of: text}
"""
TEXTS = ["a b c d", "a b c d", "one", "two words", "", "e f g", "a b c d"]


class Backwards(SerialEngine):
    """Runs units in reverse order, and pickles their inputs and outputs, like engines with workers."""

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        for index, each in reversed(list(enumerate(units))):
            call, unit = pickle.loads(pickle.dumps((function, each)))
            yield index, pickle.loads(pickle.dumps(call(unit)))


def bound(text: str, folder: Path) -> BoundPipeline:
    (folder / "pipeline.yaml").write_text(text)
    return bind(load_pipeline(folder / "pipeline.yaml"))


def write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)))


def run(tmp_path: Path, pipeline: str = PIPELINE, sample: int = 100) -> Ablation:
    return ablate(
        bound(pipeline, tmp_path), list_files([str(tmp_path / "pool")]), sample, 0, Backwards(), NullProgress()
    )


@pytest.fixture
def found(tmp_path: Path) -> Ablation:
    (tmp_path / "pool").mkdir()
    write(tmp_path / "pool" / "a.jsonl", TEXTS)
    return run(tmp_path)


def test_the_numbers_are_those_one_finds_by_hand(found: Ablation) -> None:
    assert (found.documents, found.kept, found.characters) == (7, 2, 12)
    length, count, threshold, exact = found.steps
    assert (length.dropped, length.dropped_alone, length.also_dropped_by_others) == (2, 2, 2)
    assert (length.only_here, length.caught_later) == (0, 2)  # the threshold would drop the same
    assert (threshold.dropped, threshold.dropped_alone, threshold.also_dropped_by_others) == (1, 3, 2)
    assert (threshold.only_here, threshold.kept_without, threshold.characters_without) == (1, 3, 12 + 9 - 0)
    assert (count.gone_with, count.only_here, count.dropped) == ((2,), 1, 0)
    assert (exact.dropped, exact.only_here, exact.kept_without, exact.dropped_alone) == (2, 2, 4, 2)
    assert found.overlap == ((2, 0, 2, 0), (0, 0, 0, 0), (2, 0, 3, 0), (0, 0, 0, 2))


def test_documents_that_a_step_saves_from_others_are_counted(tmp_path: Path) -> None:
    """Without the bound on length, the longer documents are the better half."""
    (tmp_path / "pool").mkdir()
    write(tmp_path / "pool" / "a.jsonl", ["a", "a b", "a b c", "a b c d"])
    steps = "[{word_count: {column: n}}, {page_length: {of: word, max: 2}}, {quantile: {column: n, keep_top: 0.5}}]"
    length = run(tmp_path, f"name: p\nsteps: {steps}").steps[1]
    assert (length.dropped, length.only_here, length.lost_without, length.kept_without) == (2, 2, 1, 2)


def test_needed_columns_are_found_through_others(tmp_path: Path) -> None:
    steps = "name: p\nsteps: [{word_count: {column: a}}, {page_length: {of: word}}, {threshold: {column: a, min: 1}}]"
    assert needs(bound(steps, tmp_path)) == {0: set(), 1: set(), 2: {0}}


def test_pages_are_extracted_once_and_the_sample_is_bounded(tmp_path: Path) -> None:
    from dclm.pool.sample.crawl import make_sample

    pool = make_sample(tmp_path / "made", documents=40, files=1)
    (pool / "warc").rename(tmp_path / "pool")
    found = run(tmp_path, "name: p\nsteps: [extract, {page_length: {of: word, min: 50}}]", sample=20)
    assert found.documents <= 20
    (step,) = found.steps
    assert step.index == 1
    assert step.dropped == step.dropped_alone == step.only_here == found.documents - found.kept > 0


def test_many_files_are_thinned(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    for number in range(3 * MAX_FILES):
        write(tmp_path / "pool" / f"{number:02}.jsonl", TEXTS)
    found = run(tmp_path, "name: p\nsteps: [{page_length: {of: word, min: 2}}]")
    assert found.documents == MAX_FILES * len(TEXTS)


def test_pages_that_give_no_document_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jsonl").write_text("nothing\n")
    with pytest.raises(DataError, match="no page of the sample became a document"):
        run(tmp_path, "name: p\nsteps: [extract, {page_length: {of: word, min: 2}}]")


def test_the_page_escapes_names_and_the_command_writes_all(tmp_path: Path, found: Ablation) -> None:
    page = render_ablation(found)
    assert "&lt;by hand&gt;" in page
    assert "<by hand>" not in page
    assert page.count("<rect") > 4
    files = [tmp_path / "out.json", tmp_path / "out.html"]
    arguments = [str(tmp_path / "pipeline.yaml"), "--pool", str(tmp_path / "pool"), "--workers", "1"]
    result = CliRunner().invoke(command, [*arguments, "--numbers", str(files[0]), "--html", str(files[1])])
    assert result.exit_code == 0, result.output
    assert "threshold" in result.output
    assert json.loads(files[0].read_text())["overlap"] == [list(row) for row in found.overlap]
    assert files[1].read_text() == page
