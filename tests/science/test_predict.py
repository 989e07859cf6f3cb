"""Predictions across scales: excluded runs do not matter, planted effects are found, published numbers hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from made_records import MadeRun, grid, write_table

from dclm.board.result import DataSummary, SuiteIdentity, TaskScore, TrainingSummary, make_result, write_result
from dclm.cli.main import dclm
from dclm.core.errors import ConfigError, DataError
from dclm.science.predict.backtest import Backtest, backtest
from dclm.science.predict.design import design_effects, usual_design
from dclm.science.predict.draw import draw_calibration
from dclm.science.predict.forecast import forecast, run_spread
from dclm.science.predict.model import fit_and_predict
from dclm.science.predict.records import (
    Design,
    TrainedRun,
    core_tasks,
    distinct,
    find_published,
    read_result,
    read_table,
)
from dclm.science.predict.transfer import predict

QUALITIES = [-0.06, -0.045, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.035, 0.05]


def made(path: Path, runs: list[MadeRun], noise: float = 0.02, seed: int = 0) -> list[TrainedRun]:
    return read_table(write_table(path / "evals.csv", runs, noise, seed))


def test_the_order_of_corpora_that_differ_is_found(tmp_path: Path) -> None:
    found = backtest(made(tmp_path, grid(QUALITIES)), "1b", "7b")
    assert len(found.pairs) == 45
    assert found.accuracy > 0.85
    assert found.brier < 0.12
    assert found.accuracy_interval[0] <= found.accuracy <= found.accuracy_interval[1]
    assert sum(b.pairs for b in found.bins) == 45


def test_a_pair_is_predicted_without_its_own_results(tmp_path: Path) -> None:
    before = backtest(made(tmp_path, grid(QUALITIES)), "1b", "7b").pairs[0]
    assert (before.a, before.b) == ("c0", "c1")
    turned = [
        MadeRun(corpus=r.corpus, scale=r.scale, quality=0.2 if (r.corpus, r.scale) == ("c0", "7b") else r.quality)
        for r in grid(QUALITIES)
    ]
    after = backtest(made(tmp_path, turned), "1b", "7b").pairs[0]
    assert after.p_a_better == before.p_a_better
    assert after.a_better
    assert not before.a_better
    other = [
        MadeRun(corpus=r.corpus, scale=r.scale, quality=0.2 if (r.corpus, r.scale) == ("c5", "7b") else r.quality)
        for r in grid(QUALITIES)
    ]
    assert backtest(made(tmp_path, other), "1b", "7b").pairs[0].p_a_better != before.p_a_better


def test_stated_probabilities_come_true_at_least_as_often_as_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    said, right = [], []
    for world in range(5):
        qualities = rng.normal(0, 0.03, 9)
        runs = grid(qualities, ("1b",)) + grid(qualities + rng.normal(0, 0.012, 9), ("7b",))
        for pair in backtest(made(tmp_path, runs, 0.06, world), "1b", "7b").pairs:
            said.append(pair.said)
            right.append(pair.right)
    stated, came = np.array(said), np.array(right)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = (stated >= low) & (stated < high)
        assert -0.08 < came[inside].mean() - stated[inside].mean() < 0.15, (low, inside.sum())


def test_designs_do_not_pass_for_corpora(tmp_path: Path) -> None:
    """Two corpora read five times the tokens, which is worth 0.08 at the small scale."""
    runs = grid([*QUALITIES[:8]])
    runs += [MadeRun(corpus=f"c{i}", scale="1b", quality=0.08 + QUALITIES[i], tokens=144e9) for i in range(2)]
    read = made(tmp_path, runs, 0.005)
    effects = design_effects([r for r in read if r.scale == "1b"])
    assert effects[usual_design([r for r in read if r.scale == "1b"])] == 0.0
    assert [v for v in effects.values() if v] == [pytest.approx(0.08, abs=0.01)]
    assert backtest(read, "1b", "7b", "used").accuracy > backtest(read, "1b", "7b", "ignored").accuracy


def test_the_designs_of_the_target_runs_are_used_but_not_their_scores(tmp_path: Path) -> None:
    runs = [*grid(QUALITIES), MadeRun(corpus="c3", scale="7b", quality=0.0, rate="0p002")]
    runs += [MadeRun(corpus=c, scale="7b", quality=q + 0.03, rate="0p002") for c, q in (("c7", 0.02), ("c8", 0.035))]
    read = made(tmp_path, runs, 0.0)
    only_slow = [r for r in read if r.corpus != "c3" or r.scale != "7b" or r.design.learning_rate == 0.003]
    with_fast, without = (predict(r, "1b", "7b", ["c3", "c4"]).one(0).mean for r in (read, only_slow))
    assert with_fast - without == pytest.approx(0.015, abs=0.003)  # half of its runs have the better rate


def test_a_prediction_widens_with_distance_and_noise() -> None:
    rng = np.random.default_rng(2)
    train = rng.normal(0.25, 0.02, (8, 22))
    scores = train.mean(axis=1) + rng.normal(0, 0.005, 8)
    said = fit_and_predict(train, scores, np.full(22, 1e-4), np.stack([train[0], train[0] + 0.2]))
    assert said.one(1).deviation > 2 * said.one(0).deviation
    mixture = said.difference(1, 0)
    assert mixture.above(mixture.quantile(0.3)) == pytest.approx(0.7)
    assert said.weights.sum() == pytest.approx(1)
    assert said.difference(0, 1).above(0.0) == pytest.approx(1 - mixture.above(0.0))


def test_a_forecast_says_what_is_decided_and_what_is_not(tmp_path: Path) -> None:
    runs = grid(QUALITIES) + [
        MadeRun(corpus=name, scale="1b", quality=q) for name, q in (("bad", -0.08), ("good", 0.04), ("fair", 0.039))
    ]
    found = forecast(made(tmp_path, runs, 0.01), "1b", "7b", ["bad", "good", "fair"])
    verdicts = {(p.a, p.b): p.verdict for p in found.pairs}
    assert verdicts["bad", "good"] == verdicts["bad", "fair"] == "b"
    assert verdicts["good", "fair"] == "too close to say"
    assert found.order[-1].corpus == "bad"
    assert sum(s.p_best for s in found.order) == pytest.approx(1)
    assert all(s.low < s.core < s.high for s in found.order)
    best = found.next_runs[0]
    assert best.corpus in ("good", "fair")
    assert best.bits_per_exaflop == max(r.bits_per_exaflop for r in found.next_runs)
    target = max((r for r in found.next_runs if r.scale == "7b"), key=lambda r: r.bits)
    assert target.corpus in ("good", "fair")
    assert 0 < target.bits < 1.5


def test_the_spread_of_runs_is_that_of_equal_designs(tmp_path: Path) -> None:
    runs = [MadeRun(corpus="a", scale="1b", quality=q) for q in (0.0, 0.02)]
    runs += [MadeRun(corpus="a", scale="1b", quality=0.3, rate="0p01"), MadeRun(corpus="b", scale="1b", quality=0.1)]
    read = made(tmp_path, runs, 0.0)
    assert run_spread(read) == pytest.approx(np.std([0.0, 0.02], ddof=1), rel=1e-6)
    assert 0 < run_spread(read[2:]) < 0.02  # nothing was run twice: only sampling error


def test_a_run_that_two_tables_hold_counts_once(tmp_path: Path) -> None:
    read = made(tmp_path, grid(QUALITIES))
    unknown = Design(tokens=read[0].design.tokens, learning_rate=None, weight_decay=None)
    vague = [dataclasses.replace(read[0], design=unknown)]
    assert distinct([*vague, *read, *read, *vague]) == read


def test_own_results_are_ordered_among_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "evals.csv", grid(QUALITIES), 0.01)
    donors = {r.corpus: r for r in read_table(table) if r.scale == "1b"}
    files = []
    for name, donor in (("mine", donors["c9"]), ("theirs", donors["c0"])):
        result = make_result(
            name=name,
            scores={t: TaskScore(score=s) for t, s in donor.accuracies.items()},
            suite=SuiteIdentity(name="core", version=2),
            records=(),
            data=DataSummary(),
            training=TrainingSummary(scale="1b-1x", params=1_439_795_200, tokens=28_795_904_000),
        )
        write_result(tmp_path / f"{name}.json", result)
        files.append(str(tmp_path / f"{name}.json"))
    command = ["predict", *files, "--from", "1b", "--to", "7b", "--records", str(table)]
    dclm.main([*command, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert [s["corpus"] for s in found["order"]] == ["mine", "theirs"]
    assert found["pairs"][0]["verdict"] == "a"
    dclm.main(command, standalone_mode=False)
    assert "1 decided, 0 too close to say" in capsys.readouterr().out


def test_what_cannot_be_predicted_is_refused(tmp_path: Path) -> None:
    few = made(tmp_path, grid(QUALITIES[:4]))
    with pytest.raises(ConfigError, match="found 4 corpora with runs at both scales"):
        backtest(few, "1b", "7b")
    with pytest.raises(ConfigError, match="found 2 other corpora"):
        forecast(few, "1b", "7b", ["c0", "c1"])
    with pytest.raises(ConfigError, match="corpus nowhere\nfound no run at 1b"):
        forecast(made(tmp_path, grid(QUALITIES)), "1b", "7b", ["c0", "nowhere"])
    with pytest.raises(ConfigError, match="found 1 corpus to rank"):
        forecast(few, "1b", "7b", ["c0", "c0"])
    with pytest.raises(ConfigError, match="found 7b and 1b"):
        dclm.main(["predict", "--from", "7b", "--to", "1b", "--records", "x"], standalone_mode=False)
    (tmp_path / "bad.csv").write_text("dataset_name,params\n")
    with pytest.raises(DataError, match="no column train_tokens or tokens"):
        read_table(tmp_path / "bad.csv")
    text = (tmp_path / "evals.csv").read_text().splitlines()
    (tmp_path / "evals.csv").write_text("\n".join([*text[:1], text[1].rsplit(",", 1)[0] + ",half"]))
    with pytest.raises(DataError, match=r'line 2, column .*\nfound "half", allowed: a number'):
        read_table(tmp_path / "evals.csv")


def test_missing_published_records_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_SHARED", str(tmp_path))
    with pytest.raises(ConfigError, match=r"found no results/evals\.csv in .*\n.*--records FILE"):
        find_published()
    write_table((tmp_path / "results").mkdir() or tmp_path / "results" / "evals.csv", grid(QUALITIES))
    assert find_published() == tmp_path / "results" / "evals.csv"


def test_a_result_that_lacks_tasks_is_refused(tmp_path: Path) -> None:
    result = make_result(
        name="part",
        scores={core_tasks()[0]: TaskScore(score=0.5)},
        suite=SuiteIdentity(name="core", version=2),
        training=TrainingSummary(scale="1b-1x", params=1, tokens=1),
        records=(),
        data=DataSummary(),
    )
    write_result(tmp_path / "result.json", result)
    with pytest.raises(DataError, match=core_tasks()[1]):
        read_result(tmp_path / "result.json")


def test_the_calibration_plot_is_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    found = backtest(made(tmp_path, grid(QUALITIES)), "1b", "7b")
    picture = draw_calibration([("1b <to> 7b", found), ("again", found)])
    assert picture == draw_calibration([("1b <to> 7b", found), ("again", found)])
    assert picture.count("<circle") == 2 * sum(b.pairs > 0 for b in found.bins)
    assert "<to>" not in picture


@pytest.mark.shared
@pytest.mark.parametrize(
    ("small", "large", "pairs", "accuracy", "brier"),
    [("1b", "7b", 105, 0.87, 0.09), ("400m", "1b", 66, 0.86, 0.095), ("400m", "7b", 55, 0.81, 0.14)],
)
def test_the_backtest_on_published_runs(
    shared: Path,
    small: str,
    large: str,
    pairs: int,
    accuracy: float,
    brier: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = shared / "results" / "evals.csv"
    command = ["predict", "--backtest", "--from", small, "--to", large, "--json", "--records", str(records)]
    dclm.main(command, standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert len(found["pairs"]) == pairs
    said = np.array([p["p_a_better"] for p in found["pairs"]])
    true = np.array([p["a_better"] for p in found["pairs"]])
    assert found["accuracy"] == pytest.approx(((said > 0.5) == true).mean())
    assert found["brier"] == pytest.approx(((said - true) ** 2).mean())
    assert found["accuracy"] >= accuracy
    assert found["brier"] <= brier
    assert all(abs(b["right"] - b["said"]) <= 0.1 for b in found["bins"] if b["pairs"] >= 20)


@pytest.mark.shared
def test_the_backtest_on_records_of_a_scale_that_had_no_say(shared: Path) -> None:
    found: Backtest = backtest(read_table(shared / "results" / "dclm_model_database.csv"), "7b", "7b-2x")
    assert found.corpora == 10
    assert found.brier < 0.2
