"""What filters measure is counted exactly: what a table says of another cut is what a run with that cut does."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.cli.main import main
from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.catalog import STEPS
from dclm.curate.options import CurateOptions
from dclm.curate.own.code import find_code
from dclm.curate.own.load import own_step
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.quantity import EDGES, NO_VALUE, Quantities, Rule, Side, at_least, at_most, bins_of, dropped_at
from dclm.curate.stage import curate
from dclm.curate.step import Filter, Step
from dclm.documents.artifact import Artifact
from dclm.documents.cuts import Measured, is_wide, measured, spread
from dclm.engine.local import LocalEngine
from dclm.extract.step import Extract
from dclm.filters.language.fasttext import Language
from dclm.filters.rules.fineweb import FinewebQuality
from dclm.filters.rules.gopher import SymbolRatio
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import PageLength, WordLength
from dclm.filters.rules.repetition import Repetition
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample
from dclm.report.build import build_report
from dclm.report.page import render_report
from dclm.select.quality import Threshold

NUMBERS = st.one_of(
    st.integers(-1000, 10**6).map(float), st.floats(-10, 10), st.sampled_from(EDGES.tolist()), st.just(math.nan)
)


SIDES: st.SearchStrategy[Side] = st.sampled_from(("min", "above", "max"))


@settings(deadline=None)
@given(values=st.lists(NUMBERS, max_size=30), edge=st.integers(0, len(EDGES) - 1), side=SIDES)
def test_counts_per_bin_say_what_any_cut_at_an_edge_drops(values: list[float], edge: int, side: Side) -> None:
    array, cut = np.array(values, np.float64), EDGES[edge]
    passes = {"min": array >= cut, "above": array > cut, "max": array <= cut}[side]
    bins = bins_of(array, side).astype(np.int64)
    found = dropped_at(bins, np.ones(len(bins), np.int64), edge, side)
    assert found == np.count_nonzero(~passes & ~np.isnan(array))
    assert np.count_nonzero(bins == NO_VALUE) == np.isnan(array).sum()


def test_edges_are_the_decimal_numbers_that_people_write() -> None:
    assert np.all(np.diff(EDGES) > 0)
    assert {0.0, 0.1, 0.65, 0.3, 1.0, 50.0, 1300.0, -2.5} <= set(EDGES.tolist())


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), max_size=40))
def test_a_rule_decides_alone_where_all_others_pass(pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array([p[i] for p in pairs], np.float64) for i in (0, 1))
    quantities = Quantities()
    for some in (slice(0, 15), slice(15, None)):
        quantities.add("step", 3, [at_least("a", a[some], 1.0), Rule("c", b[some] < 1.5), at_most("b", b[some], 1.0)])
    table = quantities.table()
    for name, others in (("a", b <= 1.0), ("b", (a >= 1.0) & (b < 1.5))):
        rows = table.filter(pa.array([r == name for r in table["rule"].to_pylist()], pa.bool_()))
        assert sum(rows["documents"].to_pylist()) == len(pairs)
        assert sum(rows["alone"].to_pylist()) == np.count_nonzero(others)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("pool") / "sample", seed=6, documents=150, files=3) / "warc"


def run(pool: Path, out: Path, *steps: Step, workers: int = 1, unit_bytes: int | None = None) -> Record:
    bound = bind(Pipeline(name="p", steps=(Extract(), *steps)))
    engine = SerialEngine() if workers == 1 else LocalEngine(workers)
    return curate(bound, list_files([str(pool)]), out, CurateOptions(unit_bytes=unit_bytes), engine)


def rule_of(out: Path, name: str) -> Measured:
    return next(rule for rule in measured(Artifact(out)) if rule.rule == name)


FIELDS: list[tuple[Step, str, str]] = [
    (PageLength(min=50), "min", "min"),
    (PageLength(min=1, max=800), "max", "max"),
    (WordLength(), "min", "min"),
    (SymbolRatio(max=0.02), "max", "max"),
    (Language(keep=("en",), min_score=0.65), "min_score", "min_score"),
    (Repetition(), "max_line_fraction", "max_line_fraction"),
    (GopherQuality(), "min_words", "min_words"),
    (GopherQuality(), "min_stop_words", "min_stop_words"),
    (GopherRepetition(), "max_line_char_fraction", "max_line_char_fraction"),
    (FinewebQuality(), "max_short_lines", "max_short_lines"),
]


@pytest.mark.parametrize(("step", "field", "rule"), FIELDS, ids=[f"{s.name}-{r}" for s, _, r in FIELDS])
def test_a_run_with_another_cut_drops_what_was_foretold(
    step: Step, field: str, rule: str, pool: Path, tmp_path: Path
) -> None:
    before = run(pool, tmp_path / "a", step)
    found = rule_of(tmp_path / "a", rule)
    assert found.cut == getattr(step, field)
    others = found.others()
    assert others
    tried = others[len(others) // 2]
    assert tried.change == tried.dropped - found.dropped
    whole = isinstance(getattr(step, field), int)
    again = dataclasses.replace(step, **{field: int(tried.cut) if whole else tried.cut})
    after = run(pool, tmp_path / "b", again)
    assert dropped(after) - dropped(before) == tried.change


def dropped(record: Record) -> int:
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    return int(steps[-1]["dropped"])


def test_the_languages_to_keep_are_no_cut_of_the_score(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", Language(keep=("de",), min_score=0.65))
    rules = pq.read_table(tmp_path / "out" / "ledger" / "00000.parquet")["rule"].to_pylist()
    assert rules.count("keep") > 50
    assert rule_of(tmp_path / "out", "min_score").dropped == rules.count("min_score")


def test_no_cut_below_the_smallest_possible_value_is_proposed(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", SymbolRatio(max=0.02), Repetition(), PageLength(min=1, max=800))
    for rule in measured(Artifact(tmp_path / "out")):
        assert all(other.cut >= 0 for other in rule.others()), rule.name
        picture = spread(rule, 60, is_wide(rule))
        assert picture is not None
        assert picture.low >= 0, rule.name


STEPS_OF_ALL = (PageLength(min=50), SymbolRatio(max=0.02), GopherQuality(), Repetition())


def test_counts_do_not_depend_on_workers_or_units(pool: Path, tmp_path: Path) -> None:
    one = run(pool, tmp_path / "one", *STEPS_OF_ALL)
    two = run(pool, tmp_path / "two", *STEPS_OF_ALL, workers=2)
    assert one.digest == two.digest
    run(pool, tmp_path / "small", *STEPS_OF_ALL, unit_bytes=20_000)
    assert repr(measured(Artifact(tmp_path / "small"))) == repr(measured(Artifact(tmp_path / "one")))


def test_every_document_of_every_step_is_counted(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", *STEPS_OF_ALL)
    artifact = Artifact(tmp_path / "out")
    entered = {step.index: step.documents_in for step in artifact.steps}
    rules = measured(artifact)
    assert {rule.index for rule in rules} == {1, 2, 3, 4}
    for rule in rules:
        assert rule.num_documents == entered[rule.index]
        picture = spread(rule, 60, is_wide(rule))
        assert picture is not None
        assert picture.passes.sum() + picture.fails.sum() == pytest.approx(rule.num_documents - rule.no_value)


UNMEASURED = {"random_sampling", "url_blocklist", "blocked_words", "media_type", "rights_filter"}
"""Filters without a number that is compared with a cut: they go by chance or by lists."""


def test_every_filter_with_a_cut_measures_it() -> None:
    for name, kind in STEPS.items():
        if not issubclass(kind, Filter) or name in UNMEASURED:
            continue
        assert kind.open_judge is not Filter.open_judge, f"{name} is a filter whose cut no report would show"


def test_the_value_of_an_own_filter_has_its_cut(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def density(text) -> float:\n    return text.count('a') / len(text)\n")
    rows = [{"text": "a" * i + "b" * (10 - i)} for i in range(11)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = find_code("mine.py", tmp_path)
    assert code is not None
    run(tmp_path / "pool.jsonl", tmp_path / "out", own_step(code, "density")(), Threshold(column="density", min=0.35))
    (rule,) = measured(Artifact(tmp_path / "out"))
    assert (rule.name, rule.condition, rule.num_documents, rule.dropped) == ("threshold · min", "≥ 0.35", 11, 4)
    assert rule.what_if(int(np.searchsorted(EDGES, 0.5))).change == 1


def test_report_and_show_have_distribution_cut_and_table(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pool, tmp_path / "out", *STEPS_OF_ALL)
    page = render_report(build_report(tmp_path / "out", None))
    rule = rule_of(tmp_path / "out", "min")
    assert "<h3>1. page_length · min ≥ 50</h3>" in page
    assert f"Distribution of page_length · min: {rule.num_documents:,} documents" in page
    assert "if the cut were" in page
    assert f"<td>50</td><td>{rule.dropped:,}</td><td>the run</td>" in page
    main(["show", str(tmp_path / "out"), "--cuts"])
    shown = capsys.readouterr().out
    assert "1. page_length · min ≥ 50" in shown
    other = rule.others()[-1]
    found = [line.split()[4:6] for line in shown.splitlines() if "if the cut were" in line]
    assert [f"{other.cut:g}", f"{other.dropped:,}"] in found


def test_artifacts_of_earlier_versions_have_no_cuts_to_show(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", PageLength(min=50))
    artifact = Artifact(tmp_path / "out")
    artifact.record = dataclasses.replace(artifact.record, files=())
    assert measured(artifact) == []
    assert pq.read_schema(tmp_path / "out" / "quantities" / "00000.parquet").names[0] == "step_index"
