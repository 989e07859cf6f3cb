"""Noise, signal and power: recovered in simulated worlds with a known truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.core.record import Record, write_record
from dclm.eval.run.unit import ITEMS
from dclm.eval.statistics.difference import Difference, difference
from dclm.eval.statistics.noise import measure_noise, noise
from dclm.eval.statistics.power import needed
from dclm.eval.statistics.stats import Score, TaskItems, task_score


def score(values: np.ndarray) -> Score:
    count = len(values)
    return task_score(TaskItems(values=values, category=np.zeros(count, np.int32), cluster=np.arange(count)))


def world(
    rng: np.random.Generator, levels: list[float], seeds: int, *, seed_sd: float, item_sd: float, items: int = 200
) -> dict[str, list[Score]]:
    """Runs of some corpora on the same items: level + item + seed + rest."""
    difficulty = rng.normal(0.0, 1.0, items)
    return {
        f"c{number}": [
            score(level + difficulty + rng.normal(0.0, seed_sd) + rng.normal(0.0, item_sd, items)) for _ in range(seeds)
        ]
        for number, level in enumerate(levels)
    }


def test_planted_spreads_are_found() -> None:
    rng = np.random.default_rng(0)
    seed_sd, item_sd, corpora_sd = 0.05, 0.2, 0.15
    found = []
    for _ in range(300):
        levels = rng.normal(0.0, corpora_sd, 5).tolist()
        runs = world(rng, levels, 3, seed_sd=seed_sd, item_sd=item_sd)
        checkpoints = [[score(rng.normal(0.0, 1.0, 50) * 0 + rng.normal(0.0, 0.03)) for _ in range(4)]]
        found.append(noise(runs, checkpoints))
    of_a_run = (seed_sd**2 + item_sd**2 / 200) ** 0.5
    assert np.mean([n.seeds**2 for n in found]) ** 0.5 == pytest.approx(of_a_run, rel=0.05)
    assert np.mean([n.checkpoints**2 for n in found]) ** 0.5 == pytest.approx(0.03, rel=0.08)
    assert np.mean([n.signal**2 for n in found]) ** 0.5 == pytest.approx(corpora_sd, rel=0.08)
    assert np.mean([n.sampling for n in found]) == pytest.approx((1 + item_sd**2) ** 0.5 / 200**0.5, rel=0.05)
    assert np.median([n.ratio for n in found]) == pytest.approx(corpora_sd / of_a_run, rel=0.2)


def test_equal_corpora_have_no_signal_and_are_told_apart_one_time_in_twenty() -> None:
    rng = np.random.default_rng(1)
    found = [noise(world(rng, [0.0, 0.0, 0.0], 3, seed_sd=0.05, item_sd=0.2)) for _ in range(300)]
    apart = sum(len(n.told_apart) for n in found) / sum(n.pairs for n in found)
    assert 0.01 < apart < 0.08
    assert np.median([n.signal for n in found]) < 0.03


@pytest.mark.parametrize(("less_is_better", "better"), [(False, "c1"), (True, "c0")])
def test_who_is_better_depends_on_the_direction(less_is_better: bool, better: str) -> None:
    runs = world(np.random.default_rng(2), [0.0, 1.0], 3, seed_sd=0.01, item_sd=0.1)
    (pair,) = noise(runs, less_is_better=less_is_better).told_apart
    assert pair[0] == better


def test_what_cannot_be_estimated_is_none() -> None:
    runs = world(np.random.default_rng(3), [0.0, 1.0], 1, seed_sd=0.1, item_sd=0.1)
    alone = noise(runs)
    assert (alone.seeds, alone.checkpoints, alone.signal, alone.ratio) == (None, None, None, None)
    assert alone.sampling is not None
    same = [score(np.ones(9)), score(np.ones(9))]
    constant = noise({"a": same, "b": same})
    assert (constant.sampling, constant.seeds, constant.ratio, constant.told_apart) == (None, 0.0, None, ())


def share_found(rng: np.random.Generator, gap: float, *, seeds: int, items: int, times: int = 400) -> float:
    """How often a comparison of two corpora that differ by `gap` finds it."""
    hits = 0
    for _ in range(times):
        a, b = world(rng, [0.0, gap], seeds, seed_sd=SEED_SD, item_sd=ITEM_SD, items=items).values()
        d = difference(a, b)
        hits += d.low is not None and d.low > 0.0
    return hits / times


SEED_SD, ITEM_SD = 0.05, 1.0


def measured(rng: np.random.Generator, seeds: int, items: int) -> list[Difference]:
    found = []
    for _ in range(200):
        a, b = world(rng, [0.0, 0.0], seeds, seed_sd=SEED_SD, item_sd=ITEM_SD, items=items).values()
        found.append(difference(a, b))
    return found


@pytest.mark.slow
def test_as_many_seeds_as_it_says_find_the_difference_four_times_in_five() -> None:
    rng = np.random.default_rng(4)
    pilots = measured(rng, 12, 4000)
    answers = [needed(d, 0.06, num_items=4000, num_runs=(12, 12)).seeds for d in pilots]
    seeds = int(np.median([n for n in answers if n is not None]))
    assert 8 < seeds < 25
    assert share_found(rng, 0.06, seeds=seeds, items=4000, times=250) == pytest.approx(0.8, abs=0.1)


def test_as_many_items_as_it_says_find_the_difference_four_times_in_five() -> None:
    rng = np.random.default_rng(5)
    pilots = measured(rng, 1, 400)
    answers = [needed(d, 0.2, num_items=400, num_runs=(1, 1)) for d in pilots]
    assert all(each.seeds is None and "one run of each" in str(each.reason) for each in answers)
    items = int(np.median([each.items for each in answers if each.items is not None]))
    hits = 0
    for _ in range(500):
        common = rng.normal(0.0, 1.0, items)
        a, b = (score(common + level + rng.normal(0.0, ITEM_SD, items)) for level in (0.0, 0.2))
        d = difference([a], [b])
        hits += d.low is not None and d.low > 0.0
    assert hits / 500 == pytest.approx(0.8, abs=0.08)


def test_what_no_number_makes_up_for_is_said() -> None:
    noisy = difference(*world(np.random.default_rng(6), [0.0, 0.0], 3, seed_sd=1.0, item_sd=0.1).values())
    answer = needed(noisy, 0.01, num_items=200, num_runs=(3, 3))
    assert answer.items is None
    assert "seeds alone" in str(answer.reason)
    few = difference(*world(np.random.default_rng(7), [0.0, 0.0], 3, seed_sd=0.0, item_sd=5.0, items=20).values())
    answer = needed(few, 0.01, num_items=20, num_runs=(3, 3))
    assert answer.seeds is None
    assert "items alone" in str(answer.reason)
    with pytest.raises(ConfigError, match="above zero"):
        needed(few, 0.0, num_items=20, num_runs=(3, 3))


def artifact(folder: Path, rng: np.random.Generator, level: float) -> Path:
    folder.mkdir()
    luck = rng.normal(0.0, 0.1)
    rows = []
    for label in ("piqa", "copa"):
        hard = np.random.default_rng(len(label)).normal(3.0, 0.5, 80)
        for i, difficulty in enumerate(hard):
            right = -max(0.1, difficulty - level + luck + rng.normal(0.0, 0.2))
            wrong = -3.0
            first = {"task": label, "row": i, "cluster": i, "correct": right > wrong, "trimmed": False}
            rows.append({**first, "gold": 0, "logprobs": [right, wrong], "answer_bytes": [4, 4]})
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), folder / "items.parquet")
    tasks = {label: {"data_sha256": "x", "num_fewshot": 0} for label in ("piqa", "copa")}
    (folder / "scores.json").write_text(json.dumps({"limited": 80, "tasks": tasks}))
    write_record(folder, Record(kind="scores", name="t", fingerprint=folder.name, config={}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(8)
    for corpus, level in (("good", 1.0), ("bad", 0.0)):
        for seed in range(3):
            artifact(tmp_path / f"{corpus}-{seed}", rng, level)
    return tmp_path


def test_the_command_says_what_tells_corpora_apart(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["noise", f"good={runs}/good-*", f"bad={runs}/bad-0,{runs}/bad-1,{runs}/bad-2"]
    main([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["corpora"] == {"good": 3, "bad": 3}
    bits = found["tasks"]["piqa"]["bits_per_byte"]
    assert bits["told_apart"] == [["good", "bad"]]
    assert bits["ratio"] > 2
    assert bits["checkpoints"] is None
    main([*arguments, "--metric", "bits_per_byte"])
    shown = capsys.readouterr().out
    assert "good over bad: " in shown
    assert "limited to the first 80 rows" in shown


def test_the_command_refuses_what_says_nothing_of_noise(runs: Path) -> None:
    with pytest.raises(ConfigError, match="the variation of scores is unknown"):
        measure_noise({"good": [runs / "good-0"], "bad": [runs / "bad-0"]})
    for wrong in ("good", "=x", f"good={runs}/none-*"):
        with pytest.raises(SystemExit) as stopped:
            main(["noise", wrong])
        assert stopped.value.code == 2


def test_compare_says_what_a_difference_would_take(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [*(f"{runs}/good-{i}" for i in range(3)), "--against", *(f"{runs}/bad-{i}" for i in range(3))]
    main(["compare", *paths, "--power", "0.05", "--metric", "bits_per_byte", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["power"]["piqa"]["seeds"] >= 2
    assert found["continuous"]["piqa"]["bits_per_byte"]["value"] > 0.0
    main(["compare", *paths, "--power", "0.05", "--metric", "bits_per_byte"])
    shown = capsys.readouterr().out
    assert "to detect a true difference of 0.05" in shown
    assert "bits per byte of the right answer (lower is better)" in shown
