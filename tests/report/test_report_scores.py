"""Whether a score can be trusted: labels, groups, length, agreement, and the alarms."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dclm.api.stages import own
from dclm.cli.documents.score import score
from dclm.core.errors import ConfigError, DataError
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.pool.files import list_files
from dclm.report import scores
from dclm.report.scores import Scored, judge_column
from dclm.select import trust

DRAW = np.random.default_rng(0)


def test_ranks_and_correlations_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = DRAW.integers(0, 20, 300).astype(float), DRAW.standard_normal(300)
    np.testing.assert_array_equal(trust.ranks(one), stats.rankdata(one))
    assert trust.spearman(one, other + one) == pytest.approx(stats.spearmanr(one, other + one).statistic)
    assert trust.spearman(one, np.ones(300)) is None


def test_average_precision_is_that_of_the_metrics() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    values, truth = DRAW.integers(0, 30, 200) / 30, DRAW.random(200) < 0.3
    found = trust.against_labels(values, truth)
    assert found["average_precision"]["value"] == pytest.approx(metrics.average_precision_score(truth, values))  # type: ignore[index]
    assert trust._average_precision(values, truth) == pytest.approx(metrics.average_precision_score(truth, values))
    assert found["roc_auc"]["value"] == pytest.approx(metrics.roc_auc_score(truth, values))  # type: ignore[index]


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    draw, inside = np.random.default_rng(5), 0
    truth = np.repeat([True, False], [60, 90])
    for seed in range(40):  # two normal distributions one apart: AUC = Φ(1 / √2) = 0.7602
        values = draw.standard_normal(150) + truth
        _, low, high = trust.against_labels(values, truth, seed)["roc_auc"].values()  # type: ignore[attr-defined]
        inside += low <= 0.7602 <= high
    assert inside >= 34


def test_a_group_explains_what_lies_between_groups_and_chance_explains_nothing() -> None:
    group = np.repeat(np.arange(20), 10)
    assert trust.explained(group.astype(float), group) == pytest.approx(1)
    assert abs(trust.explained(DRAW.standard_normal(200), group) or 0) < 0.15
    assert trust.explained(DRAW.standard_normal(200), np.arange(200)) is None
    assert trust.explained(np.ones(200), group) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda group, length, noise: noise, []),
        (lambda group, length, noise: group + 0.01 * noise, ["q sorts by source"]),
        (lambda group, length, noise: -length + noise, ["q is explained by length alone"]),
        (lambda group, length, noise: np.where(np.arange(400) < 10, noise, 0.5), ["q is nearly constant"]),
    ],
)
def test_alarms_are_raised_where_they_should_be(values: object, said: list[str]) -> None:
    draw = np.random.default_rng(3)
    group, length, noise = draw.integers(0, 8, 400), draw.integers(1, 5000, 400).astype(float), draw.random(400)
    found = trust.alarms("q", values(group, length, noise), length, {"source": [f"s{g}" for g in group]})  # type: ignore[operator]
    assert len(found) == len(said)
    assert all(alarm.startswith(start) for alarm, start in zip(found, said, strict=True))


def test_agreement_counts_what_both_keep() -> None:
    one = np.arange(100.0)
    assert trust.agreement(one, one)["overlap"] == dict.fromkeys(map("{:g}".format, trust.SHARES), 1.0)
    found = trust.agreement(one, -one)
    assert found["spearman"] == pytest.approx(-1)
    assert found["overlap"] == dict.fromkeys(map("{:g}".format, trust.SHARES), 0.0)
    other = one.copy()
    other[[3, 98]] = [98.5, 2.5]
    assert trust.agreement(one, other)["overlap"]["0.05"] == pytest.approx(0.8)  # type: ignore[index]
    assert trust.most_different(one, other, 1) == ([98], [3])


OWN = """
def good(text) -> float:
    return text.count("good") / 10

def length(text) -> float:
    return float(len(text))

def turned(text) -> float:
    return -text.count("good") + 0.001 * len(text)
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 documents of three files with three scores, and labels of 100 of them."""
    root = tmp_path_factory.mktemp("scored")
    draw = random.Random(1)
    labels = []
    (root / "pool").mkdir()
    for number in range(3):
        rows = []
        for i in range(100):
            text = " ".join(draw.choices(["good", "bad", "word"], k=10)) + " pad" * draw.randint(0, 30)
            rows.append({"text": text, "url": f"http://site{i % 4}.org/{number}/{i}"})
            if i < 33:
                labels.append({"text": text, "label": int(text.count("good") + draw.random() * 3 > 4.5)})
        (root / "pool" / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    (root / "own.py").write_text(OWN)
    steps = tuple(own(f"own.py:{name}", directory=root) for name in ("good", "length", "turned"))
    bound = bind(Pipeline(name="test", steps=steps))
    curate(bound, list_files([str(root / "pool")]), root / "out", CurateOptions(), SerialEngine())
    return root


def test_a_column_is_judged_from_all_sides(artifact: Path) -> None:
    found = judge_column(artifact / "out", "good", [str(artifact / "labels.jsonl")], "turned")
    assert found["documents"] == 300
    assert found["alarms"] == []
    assert sum(row["documents"] for row in found["by_length"]) == 300
    assert [row["documents"] for row in found["by"]["source"]] == [100] * 3
    assert [row["group"] for row in found["by"]["domain"]] == [f"site{i}.org" for i in range(4)]
    assert found["labels"]["documents"] == 99
    auc = found["labels"]["roc_auc"]
    assert 0.8 < auc["low"] < auc["value"] < auc["high"] <= 1
    assert sum(row["documents"] for row in found["labels"]["reliability"]) == 99
    agreement = found["agreement"]
    assert agreement["turned"] is True
    assert agreement["spearman"] > 0.9
    assert agreement["higher_in_good"][0]["text"]
    assert judge_column(artifact / "out", "length")["alarms"] == [
        "length is explained by length alone: 100% of the variance of its ranks"
    ]
    lower = judge_column(artifact / "out", "turned", [str(artifact / "labels.jsonl")], lower_is_better=True)
    assert lower["labels"]["roc_auc"]["value"] > 0.8


def test_many_documents_are_sampled(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "MOST", 100)
    found = judge_column(artifact / "out", "good")
    assert (found["documents"], found["sampled"]) == (100, "every 3-th document")


def test_what_is_missing_is_named(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column of numbers quality, found: good, length, turned"):
        judge_column(artifact / "out", "quality")
    (tmp_path / "other.jsonl").write_text('{"text": "unknown", "label": 1}\n')
    with pytest.raises(DataError, match="0 documents of the artifact have a label"):
        judge_column(artifact / "out", "good", [str(tmp_path / "other.jsonl")])


def test_the_command_prints_json(artifact: Path) -> None:
    arguments = [str(artifact / "out"), str(artifact / "labels.jsonl"), "--column", "good", "--against", "length"]
    done = CliRunner().invoke(score, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["column"] == "good"
    assert found["agreement"]["with"] == "length"
    assert "alarms" in json.loads(CliRunner().invoke(score, [str(artifact / "out"), "--column", "good"]).stdout)
    assert CliRunner().invoke(score, [str(artifact / "out")]).exit_code == 2
    assert CliRunner().invoke(score, [str(artifact / "out"), "--column", "good", "--curve"]).exit_code == 2
    assert len(Scored.read(scores.Artifact(artifact / "out")).columns) == 3


@pytest.mark.parametrize(("column", "options", "panels"), [("good", [], 3), ("turned", ["--lower-is-better"], 2)])
def test_a_column_has_curves(artifact: Path, tmp_path: Path, column: str, options: list[str], panels: int) -> None:
    arguments = [str(artifact / "out"), str(artifact / "labels.jsonl"), "--column", column, *options]
    picture = tmp_path / "curves.svg"
    done = CliRunner().invoke(score, [*arguments, "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    auc = json.loads(done.stdout)["labels"]["roc_auc"]["value"]
    drawn = picture.read_text()
    assert f"ROC-AUC {auc:.4f}" in drawn
    assert drawn.count("calibration error") == (2 if panels == 3 else 0)  # in the panel and in the description
    width = int(re.search(r'viewBox="0 0 (\d+)', drawn)[1])  # type: ignore[index]
    assert width == 10 + 330 * panels
    points = [json.loads(line) for line in CliRunner().invoke(score, [*arguments, "--curve"]).stdout.splitlines()]
    assert points[-1]["recall"] == points[-1]["kept"] == 1
    thresholds = [point["threshold"] for point in points]
    assert thresholds == sorted(thresholds, reverse=True)
