"""Metrics of a classifier compared with their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.select.classifier.metrics import average_precision, precision_recall, reliability, roc_auc, summarize

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 1.00001]), st.booleans()), max_size=30)


@given(PAIRS)
def test_roc_auc_is_the_probability_of_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    good, bad = [s for s, p in pairs if p], [s for s, p in pairs if not p]
    found = roc_auc(np.array([s for s, _ in pairs]), np.array([p for _, p in pairs], bool))
    if not good or not bad:
        assert math.isnan(found)
    else:
        wins = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
        assert found == pytest.approx(sum(wins) / len(wins))


@given(PAIRS)
def test_each_point_of_the_curve_is_a_threshold_applied(pairs: list[tuple[float, bool]]) -> None:
    scores, positive = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs], bool)
    points = precision_recall(scores, positive)
    assert [p["threshold"] for p in points] == sorted(set(scores.tolist()), reverse=True)
    for point in points:
        kept = scores >= point["threshold"]
        assert point["precision"] == pytest.approx(positive[kept].mean())
        assert point["recall"] == pytest.approx((positive & kept).sum() / max(1, positive.sum()))
        assert point["kept"] == pytest.approx(kept.mean())


def test_average_precision_of_a_known_case() -> None:
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_calibration_counts_every_document_once() -> None:
    scores, positive = np.array([0.0, 0.05, 0.95, 1.0, 1.00001]), np.array([False, True, True, True, True])
    table = reliability(scores, positive)
    assert [row["documents"] for row in table] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert table[0]["positive_fraction"] == 0.5
    assert summarize(scores, positive)["calibration_error"] == pytest.approx((2 * 0.475 + 3 * (1 - 2.95001 / 3)) / 5)


@pytest.mark.parametrize("positive", [[], [True, True], [False]])
def test_one_class_has_no_measures(positive: list[bool]) -> None:
    summary = summarize(np.linspace(0, 1, len(positive)), np.array(positive, bool))
    assert summary == {"documents": len(positive), "roc_auc": None}
