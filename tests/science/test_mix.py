"""Fits of losses on mixtures, and the best mixture: in planted worlds, and on RegMix's runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from dclm.cli.main import dclm
from dclm.core.errors import ConfigError, DataError
from dclm.science.mix import models, optimize
from dclm.science.mix.constraints import Constraints, SourceLimits, feasible, into_bounds
from dclm.science.mix.minimum import local_optimum, minimize_loss
from dclm.science.mix.models import (
    LawName,
    choose_law,
    cross_validated,
    fit,
    fit_law,
    interval,
    pairs_right,
    resampled,
    spearman,
)
from dclm.science.mix.optimize import Best, best_mixture
from dclm.science.mix.table import Array, Proxies, join, read_mixtures, read_table

SOURCES = ("a", "b", "c")
SLOPES = np.array([[-3.0, -0.5, 0.0], [0.0, -2.0, -0.3], [-0.2, 0.0, -2.5]])
IMPORTANCE = (3.0, 1.0, 0.5)
TARGET = "metric/the_pile_pile_cc_val_loss"


def truth(weights: Array, equal: bool = False) -> Array:
    """Losses [n, 3] of a world with three sources; in an equal one the mixture makes no difference."""
    return np.column_stack([2 + 0.8 * np.exp((0.0 if equal else 1.0) * (weights @ slopes)) for slopes in SLOPES])


def world(seed: int, equal: bool = False, count: int = 48, noise: float = 0.01) -> Proxies:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), count)
    return Proxies(sources=SOURCES, weights=weights, losses=truth(weights, equal) + rng.normal(0, noise, (count, 3)))


def true_best() -> Array:
    points = [(x / 100, y / 100, 1 - (x + y) / 100) for x in range(101) for y in range(101 - x)]
    best: Array = np.array(min(points, key=lambda p: float(truth(np.array([p]))[0] @ IMPORTANCE)))
    return best


def solve(proxies: Proxies, constraints: Constraints | None = None) -> Best:
    return best_mixture(proxies, IMPORTANCE, feasible(constraints or Constraints(), SOURCES), 16)


def test_a_planted_law_is_recovered_although_some_runs_went_wrong() -> None:
    proxies = world(0, count=120, noise=0.0)
    losses = proxies.losses[:, 0].copy()
    losses[:4] += 3.0
    law = fit_law(proxies.weights, losses)
    at = np.random.default_rng(1).dirichlet(np.ones(3), 50)
    assert np.abs(law.predict(at) - truth(at)[:, 0]).max() < 0.05
    least_squares = np.linalg.lstsq(proxies.weights, losses)[0]
    assert np.abs(at @ least_squares - truth(at)[:, 0]).max() > 0.1


@pytest.mark.parametrize("name", models.LAWS)
def test_the_gradient_is_that_of_the_prediction(name: LawName) -> None:
    law = fit_law(*(lambda p: (p.weights, p.losses[:, 0]))(world(0)), name)
    at, step = np.array([0.2, 0.5, 0.3]), 1e-6
    for i in range(3):
        moved = at + step * np.eye(3)[i]
        slope = (law.predict(moved[None]) - law.predict(at[None]))[0] / step
        assert law.gradient(at)[i] == pytest.approx(slope, rel=1e-3, abs=1e-5)


LETTERS = np.full((3, 3), 0.2) + 0.4 * np.eye(3)
"""Frequencies of three groups of letters in three sources."""


def letters_world(seed: int) -> Proxies:
    """Losses are cross-entropies under a mixture's frequencies, so that its best mixture is `SHARES`."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(3, 2.0), 24)
    losses = -np.log2(weights @ LETTERS) @ LETTERS.T
    return Proxies(sources=SOURCES, weights=weights, losses=losses + rng.normal(0, 0.01, losses.shape))


def test_noise_reaches_as_far_as_it_says() -> None:
    """The same proxies with noise drawn again and again: the best mixture moves as far as one set of losses shows."""
    weights = letters_world(0).weights
    exact = -np.log2(weights @ LETTERS) @ LETTERS.T
    allowed = feasible(Constraints(), SOURCES)
    rng = np.random.default_rng(5)
    found, stated = [], []
    for number in range(20):
        proxies = Proxies(sources=SOURCES, weights=weights, losses=exact + rng.normal(0, 0.006, exact.shape))
        laws = [fit_law(weights, column, "log-quadratic") for column in proxies.losses.T]
        first = minimize_loss(laws, SHARES, allowed, [np.array(SHARES)])
        found.append(local_optimum(proxies, SHARES, allowed, laws, [first]))
        if number < 2:
            reach = optimize._reach(proxies, SHARES, allowed, laws, first, 0.01, 12)
            stated.append(reach / student.ppf(0.99, len(weights) - len(laws[0].theta)))
    ratio = float(np.mean(np.mean(stated, axis=0) / np.std(found, axis=0)))
    assert 0.7 < ratio < 1.5


SHARES = (0.55, 0.3, 0.15)


@pytest.mark.parametrize("seed", range(3))
def test_sources_that_complement_each_other_need_the_other_law(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimize, "CONFIDENCE", 0.95)
    proxies = letters_world(seed)
    assert [choose_law(proxies.weights, column) for column in proxies.losses.T].count("log-quadratic") >= 2
    found = best_mixture(proxies, SHARES, feasible(Constraints(), SOURCES), 20)
    for share, true in zip(found.shares, SHARES, strict=True):
        assert share.low <= true <= share.high, share
        assert share.high - share.low < 0.6, share
    losses = [-np.log2(np.array(mixture) @ LETTERS) @ LETTERS.T @ SHARES for mixture in ((1 / 3,) * 3, SHARES)]
    assert found.gain_low < losses[0] - losses[1]  # a half's mixture is a little worse than the best one
    assert 0.01 < found.gain < 0.03
    laws = [fit_law(proxies.weights, column, "log-linear") for column in proxies.losses.T]
    grid = np.array([(x / 20, y / 20, 1 - (x + y) / 20) for x in range(21) for y in range(21 - x)])
    total = sum(share * law.predict(grid) for share, law in zip(SHARES, laws, strict=True))
    assert np.abs(grid[np.argmin(total)] - SHARES).max() > 0.08  # the log-linear law alone goes wrong


@pytest.mark.parametrize(
    ("simple", "full", "chosen"),
    [
        ([0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.3, 0.3], "log-linear"),
        ([0.1, 0.1, 0.1, 0.1], [0.0, 0.0, 0.2, 0.3], "log-quadratic"),  # better on average, but not clearly
        ([0.1, 0.1, 0.1, 0.1], [0.0, 0.0, 0.1, 0.0], "log-quadratic"),
    ],
)
def test_the_simpler_law_is_chosen_only_where_it_is_clearly_better(
    simple: list[float], full: list[float], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"log-linear": np.array(simple), "log-quadratic": np.array(full)}
    monkeypatch.setattr(models, "cross_validated", lambda name, weights, losses: losses + errors[name])
    assert choose_law(np.full((4, 2), 0.5), np.ones(4)) == chosen


@pytest.mark.parametrize("model", ["log-linear", "trees"])
def test_intervals_hold_the_truth_and_are_the_same_again(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_TREES", 60)
    proxies = world(3, count=64)
    name, count = ("trees", 3) if model == "trees" else ("log-linear", 12)
    first = fit(name, proxies.weights, proxies.losses[:, 0])
    at = np.random.default_rng(4).dirichlet(np.full(3, 5.0), 20)
    low, high = interval(resampled(name, proxies.weights, proxies.losses[:, 0], count, first), at)
    assert (low < high).all()
    if name == "log-linear":
        assert ((low - 0.01 < truth(at)[:, 0]) & (truth(at)[:, 0] < high + 0.01)).all()
    again = interval(resampled(name, proxies.weights, proxies.losses[:, 0], count, first), at)
    assert (again[0] == low).all()
    inside = cross_validated(name, proxies.weights, proxies.losses[:, 0])
    assert spearman(inside, proxies.losses[:, 0]) > 0.8


@pytest.mark.parametrize("seed", range(10))
def test_the_planted_best_mixture_lies_in_the_stated_interval(seed: int) -> None:
    found = solve(world(seed))
    assert found.decided
    for share, true in zip(found.shares, true_best(), strict=True):
        assert share.low - 0.01 <= true <= share.high + 0.01, share  # the grid's step
    gain = float(truth(np.full((1, 3), 1 / 3))[0] @ IMPORTANCE - truth(true_best()[None])[0] @ IMPORTANCE)
    assert abs(found.gain - gain) < 0.3 * gain


@pytest.mark.parametrize("seed", range(10))
def test_equal_sources_are_not_decided(seed: int) -> None:
    found = solve(world(seed, equal=True))
    assert not found.decided
    assert found.extrapolates == (found.leverage > 1)
    assert found.gain_low <= 0
    assert found.add


def test_tokens_repeats_bounds_and_divergence_bind() -> None:
    free = solve(world(1))
    assert free.shares[0].best > 0.6
    limits = {
        "a": SourceLimits(tokens=100, max_repeats=2),
        "b": SourceLimits(tokens=300, min=0.3),
        "c": SourceLimits(tokens=600),
    }
    held = solve(world(1), Constraints(budget=500, sources=limits))
    assert held.shares[0].best == pytest.approx(0.4, abs=1e-6)
    assert held.shares[0].largest == pytest.approx(0.4)
    assert held.shares[1].best >= 0.3 - 1e-9
    assert [s.natural for s in held.shares] == pytest.approx([0.1, 0.3, 0.6], abs=0.01)
    near = solve(world(1), Constraints(max_divergence=0.05))
    assert near.divergence <= 0.05 + 1e-3
    assert near.predicted > free.predicted
    assert near.gain < free.gain


@given(
    raw=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    low=st.lists(st.floats(0.0, 0.3), min_size=3, max_size=3),
    high=st.lists(st.floats(0.4, 1.0), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_mixtures_are_moved_into_bounds(raw: list[float], low: list[float], high: list[float]) -> None:
    moved = into_bounds(np.array(raw), np.array(low), np.array(high))
    assert moved.sum() == pytest.approx(1, abs=1e-6)
    assert (moved >= np.array(low) - 1e-9).all()
    assert (moved <= np.array(high) + 1e-9).all()


def test_impossible_constraints_are_refused() -> None:
    few = {name: SourceLimits(tokens=10, max_repeats=1) for name in SOURCES}
    with pytest.raises(ConfigError, match=r"shares sum to at least 0 and at most 0\.3"):
        feasible(Constraints(budget=100, sources=few), SOURCES)
    with pytest.raises(ConfigError, match="no proxy has read it"):
        feasible(Constraints(sources={"aa": SourceLimits()}), SOURCES)
    with pytest.raises(ConfigError, match=r"found a share from 0\.5 to 0\.2"):
        feasible(Constraints(sources={"a": SourceLimits(min=0.5, max=0.2)}), SOURCES)
    with pytest.raises(ConfigError, match="need a divergence"):
        feasible(Constraints(max_divergence=0.01, sources={"a": SourceLimits(min=0.9)}), SOURCES)
    with pytest.raises(ConfigError, match="found 12 proxies with losses, allowed: 16"):
        solve(world(0, count=12))


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return path


def test_proxies_made_before_a_source_was_added_or_split_are_used_again(tmp_path: Path) -> None:
    old = write(tmp_path / "old.csv", [["run", "web", "books"], ["1", 0.5, 0.5], ["2", 0.999, 0.0]])
    new = write(tmp_path / "new.csv", [["run", "books", "good", "bad", "code"], ["3", 0.1, 0.2, 0.3, 0.4]])
    table = read_mixtures([old, new], {"web": {"good": 1, "bad": 3}})
    assert table.columns == ("books", "good", "bad", "code")
    assert table.values == pytest.approx(np.array([[0.5, 0.125, 0.375, 0], [0, 0.25, 0.75, 0], [0.1, 0.2, 0.3, 0.4]]))
    losses = write(tmp_path / "losses.csv", [["run", "x", "y"], ["3", 1, 2], ["1", 3, 4], ["9", 5, 6]])
    proxies = join(table, [read_table(losses)], ["y"])
    assert proxies.losses.tolist() == [[2.0], [4.0]]
    assert proxies.weights[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_wrong_tables_are_told(tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", [["run", "a"], ["1", 1.0]])
    for rows, message in (
        ([["run", "a"], ["1", "x"]], 'found "x", allowed: a finite number'),
        ([["run", "a"], ["1", "nan"]], "allowed: a finite number"),
        ([["run", "a", "b"], ["1", 0.5]], "found 2 cells, allowed: 3"),
        ([["run", "a", "b"], ["1", 0.5, 0.2]], r"sum to 0\.7"),
        ([["run", "a", "b"], ["1", 1.5, -0.5]], "none below 0"),
        ([["run", "a"], ["1", 1.0], ["1", 1.0]], "two rows named 1"),
        ([["run", "a"]], "found no rows"),
    ):
        with pytest.raises(DataError, match=message):
            read_mixtures([write(tmp_path / "bad.csv", rows)])
    with pytest.raises(DataError, match="in two tables"):
        read_mixtures([good, good])
    with pytest.raises(ConfigError, match=r"column lo\nnot in .*\nhint: did you mean `loss`"):
        join(read_mixtures([good]), [read_table(write(tmp_path / "l.csv", [["run", "loss"], ["1", 1]]))], ["lo"])
    with pytest.raises(DataError, match="found none of its runs"):
        join(read_mixtures([good]), [read_table(write(tmp_path / "l.csv", [["run", "loss"], ["2", 1]]))], ["loss"])


@pytest.mark.slow
def test_the_commands_say_what_they_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proxies = world(2)
    rows = [[str(i), *map(float, w)] for i, w in enumerate(proxies.weights)]
    mixtures = write(tmp_path / "m.csv", [["run", *SOURCES], *rows])
    values = [[str(i), *map(float, row)] for i, row in enumerate(proxies.losses)]
    losses = write(tmp_path / "l.csv", [["run", "x", "y", "z"], *values])
    new = write(tmp_path / "new.csv", [["index", "c", "a"], ["p", 0.5, 0.5], ["q", 0.0, 1.0]])
    tables = ["--mixtures", str(mixtures), "--losses", str(losses)]
    out = tmp_path / "out.csv"
    dclm.main(["mix", "fit", *tables, "--target", "x", "--predict", str(new), "--out", str(out)], standalone_mode=False)
    predicted = read_table(out)
    assert (predicted.first, *predicted.names) == ("index", "p", "q")
    true = truth(np.array([[0.5, 0, 0.5], [1.0, 0, 0]]))[:, 0]
    assert predicted.column("predicted") == pytest.approx(true, abs=0.02)
    assert (predicted.column("low") <= predicted.column("high")).all()
    capsys.readouterr()
    command = ["mix", "best", *tables, "--target", "x=3", "--target", "y", "--target", "z=0.5"]
    dclm.main([*command, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["decided"]
    assert [s["best"] for s in found["shares"]] == pytest.approx(list(true_best()), abs=0.06)
    dclm.main(command, standalone_mode=False)
    assert ": decided\n" in capsys.readouterr().out
    for wrong, message in (("x=0", "allowed: a positive number"), ("x=often", "allowed: a positive number")):
        with pytest.raises(ConfigError, match=message):
            dclm.main(["mix", "best", *tables, "--target", wrong], standalone_mode=False)
    with pytest.raises(ConfigError, match="allowed: SOURCE=PART:SHARE"):
        dclm.main([*command, "--split", "a=b"], standalone_mode=False)


@pytest.mark.shared
@pytest.mark.parametrize(("first", "rank", "pairs"), [(512, 0.985, 0.955), (64, 0.93, 0.9)])
def test_regmix_runs_of_1m_parameters_order_those_of_1b(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], first: int, rank: float, pairs: float
) -> None:
    folder = shared / "results" / "regmix"
    command = ["mix", "fit", "--target", TARGET, "--first", str(first), "--out", str(tmp_path / "out.csv")]
    command += ["--mixtures", str(folder / "train_mixture_1m.csv"), "--losses", str(folder / "train_pile_loss_1m.csv")]
    command += ["--predict", str(folder / "test_mixture_1B.csv"), "--truth", str(folder / "test_pile_loss_1B.csv")]
    dclm.main([*command, "--resamples", "4"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 64
    assert found["spearman"] >= rank
    assert found["pairs_right"] >= pairs
    predicted = read_table(tmp_path / "out.csv").column("predicted")
    true = read_table(folder / "test_pile_loss_1B.csv").column(TARGET)
    assert pairs_right(predicted, true) == found["pairs_right"]
