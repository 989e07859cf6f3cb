"""Compute multipliers on a board: a planted one is found, its interval is valid, and page and server agree."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from dclm.board.entry import Entry, own
from dclm.board.known.published import SOURCE, published_entries
from dclm.board.pages.detail import render_detail
from dclm.board.pages.listing import rows
from dclm.board.pages.multiplier import DEFAULT, fit_lines, lines, multiplier
from dclm.board.pages.page import render_page
from dclm.board.result import Result, TrainingSummary
from tests.board.conftest import MakeResult

FLOPS = (1e19, 1e20, 1e21)


def run(model: Result, corpus: str, flops: float, core: float, name: str = "", rates: str = "") -> Entry:
    training = TrainingSummary(scale=f"s{math.log10(flops):g}", flops=flops)
    data = dataclasses.replace(model.data, pools=(corpus,))
    imported = f"{SOURCE}, MIT: {corpus}{rates}.json"
    result = dataclasses.replace(model, name=corpus, training=training, data=data, core_v2=core, imported=imported)
    key = f"{corpus}{flops}{core}{rates}{name}"
    return Entry(result=result, published=True, title=f"{corpus}, {training.scale}", key=key)


def world(model: Result, rng: np.random.Generator, noise: float, times: float = 3.0) -> tuple[list[Entry], Entry]:
    """Three corpora with parallel lines, and a new run that is `times` as good as `base`."""
    levels = {"base": 0.2, "other": 0.25, "third": 0.15}
    entries = [
        run(model, corpus, flops, level + 0.09 * (math.log10(flops) - 20) + rng.normal(0, noise))
        for corpus, level in levels.items()
        for flops in FLOPS
    ]
    core = 0.2 + 0.09 * (math.log10(times * 1e20) - 20) + rng.normal(0, noise)
    return entries, run(model, "new", 1e20, core)


def test_a_planted_multiplier_is_found_and_its_interval_holds(make: MakeResult) -> None:
    model, rng = make(), np.random.default_rng(0)
    entries, new = world(model, rng, 1e-9)
    exact = multiplier(new.result, "base", fit_lines(entries))
    assert exact is not None
    assert (exact.value, exact.extrapolated) == (pytest.approx(3.0, rel=1e-6), False)
    held = 0
    for _ in range(300):
        entries, new = world(model, rng, 0.01)
        found = multiplier(new.result, "base", fit_lines(entries))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 3.0 <= found.high
    assert 0.91 < held / 300 < 0.985


def test_what_the_baseline_was_not_run_at_is_marked(make: MakeResult) -> None:
    model = make()
    entries, _ = world(model, np.random.default_rng(1), 0.001)
    fitted = fit_lines(entries)
    beyond = multiplier(run(model, "new", 1e21, 0.40).result, "base", fitted)
    assert beyond is not None
    assert beyond.extrapolated
    noisy = fit_lines(world(model, np.random.default_rng(2), 0.3)[0])
    lost = multiplier(run(model, "new", 1e20, 0.2).result, "base", noisy)
    assert lost is not None
    assert (lost.low, lost.high) == (None, None)


def test_runs_at_other_rates_are_not_part_of_a_line(make: MakeResult) -> None:
    model = make()
    entries, _ = world(model, np.random.default_rng(3), 0.001)
    entries = [dataclasses.replace(e, result=dataclasses.replace(e.result, imported="x: a-lr=0p003-wd=0p033.json"))
               for e in entries]  # fmt: skip
    odd = run(model, "base", 1e20, 0.9, rates="-lr=0p03-wd=0p0033")
    assert fit_lines([*entries, odd]).baselines["base"].runs == 3


def test_the_published_lines_are_those_of_the_docs() -> None:
    fitted = lines()
    assert fitted.slope == pytest.approx(0.092, abs=0.001)
    assert len(fitted.baselines) == 12
    named = {entry.shown: entry for entry in published_entries()}
    found = multiplier(named["FineWeb-Edu, 411m_1x"].result)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("changes", [{"core_v2": None}, {"limited": 40}])
def test_what_has_no_core_has_no_multiplier(make: MakeResult, changes: dict[str, int | None]) -> None:
    result = dataclasses.replace(make(scale="411m_1x"), **changes)
    assert multiplier(result) is None
    (row,) = rows(own([result]))
    assert row["compute_multiplier"] is row["compute_multiplier_extrapolated"] is None


def test_pages_and_downloads_say_it(make: MakeResult) -> None:
    (entry,) = own([make(scale="411m_1x", accuracy=0.4)])
    found = multiplier(entry.result)
    assert found is not None
    assert f"{found.value:.2f} times as many" in render_detail(entry)
    assert f"FLOPs that {DEFAULT} needs" in render_detail(entry)
    assert f">{found.value:.2f}</td>" in render_page([entry])
    assert rows([entry])[0]["compute_multiplier"] == found.value
