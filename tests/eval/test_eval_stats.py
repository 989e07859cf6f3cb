"""Standard errors: compared with formulas and resampling, and with shared items."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dclm.eval.statistics.difference import difference
from dclm.eval.statistics.interval import mean_interval
from dclm.eval.statistics.stats import TaskItems, accuracy, mean_error, task_score
from dclm.eval.suite import load_suite


def items(correct: list[bool], category: list[int] | None = None, cluster: list[int] | None = None) -> TaskItems:
    count = len(correct)
    return TaskItems(
        values=np.array(correct, np.bool_),
        category=np.array(category or [0] * count, np.int32),
        cluster=np.array(cluster or range(count), np.int64),
    )


def error(found: TaskItems) -> float:
    """The standard error of an accuracy; fails if there is none."""
    estimate = accuracy(found).standard_error
    assert estimate is not None
    return estimate


def test_single_items_give_the_binomial_error() -> None:
    found = accuracy(items([True] * 30 + [False] * 70))
    assert found.value == pytest.approx(0.3)
    assert found.standard_error == pytest.approx(math.sqrt(0.3 * 0.7 / 99))


def test_a_category_counts_the_same_whatever_its_size() -> None:
    found = accuracy(items([True, False, True, True], category=[0, 1, 1, 1]))
    assert found.value == pytest.approx((1.0 + 2 / 3) / 2)


def test_items_that_stand_or_fall_together_make_a_score_less_sure() -> None:
    correct = [True] * 5 + [False] * 5 + [True] * 5 + [False] * 5
    alone = accuracy(items(correct))
    together = accuracy(items(correct, cluster=[i // 5 for i in range(20)]))
    assert together.clusters == 4
    assert together.standard_error is not None
    assert alone.standard_error is not None
    assert together.standard_error > 2 * alone.standard_error


def test_the_error_agrees_with_resampling_of_clusters() -> None:
    generator = np.random.default_rng(0)
    cluster = np.repeat(np.arange(200), 4)
    level = generator.random(200)
    correct = generator.random(800) < level[cluster]
    found = accuracy(items(correct.tolist(), cluster=cluster.tolist()))
    sums = correct.reshape(200, 4).mean(axis=1)
    means = [sums[generator.integers(0, 200, 200)].mean() for _ in range(2000)]
    assert found.standard_error == pytest.approx(float(np.std(means)), rel=0.08)


def test_the_error_of_core_is_that_of_its_tasks_where_nothing_is_shared() -> None:
    tasks = [task for task in load_suite("core").tasks if task.task in ("copa", "piqa", "boolq")]
    generator = np.random.default_rng(1)
    by_task = {task.task: items((generator.random(400) < 0.6).tolist()) for task in tasks}
    expected = sum((error(by_task[t.task]) / (3 * (1 - t.metadata.baseline.v2))) ** 2 for t in tasks)
    assert mean_error(by_task, tasks, "v2") == pytest.approx(math.sqrt(expected), rel=0.01)


def test_two_tasks_on_the_same_items_are_not_two_samples() -> None:
    tasks = [task for task in load_suite("core").tasks if task.task.startswith("hellaswag")]
    right = (np.random.default_rng(2).random(500) < 0.5).tolist()
    same = mean_error({task.task: items(right) for task in tasks}, tasks, "v2")
    alone = error(items(right)) / 0.75
    assert len(tasks) == 2
    assert same == pytest.approx(alone)


def test_what_cannot_be_estimated_has_no_error() -> None:
    """One cluster, or items that are all alike, reveal nothing about the error; 0 would claim that there is none."""
    one_cluster = accuracy(items([True, False, True], cluster=[0, 0, 0]))
    assert one_cluster.standard_error is one_cluster.interval.low is one_cluster.interval.high is None
    alike = accuracy(items([False] * 3))
    assert alike.standard_error is None
    assert alike.interval == (0.0, pytest.approx(1 - 0.025 ** (1 / 3)))  # Clopper and Pearson's for 0 of 3
    within = accuracy(items([True, True, False, False], category=[0, 0, 1, 1]))
    assert within.standard_error is None
    assert within.interval.low is not None
    assert accuracy(items([True, False], category=[0, 1])).interval == (None, None)


def test_two_models_with_the_same_answers_are_not_known_to_be_equal() -> None:
    same = task_score(items([False] * 3))
    found = difference([same], [same])
    assert found.value == 0.0
    assert found.standard_error is found.low is found.high is found.probability is found.detectable is None


def test_the_error_of_a_mean_is_null_where_that_of_a_task_is_and_never_too_small() -> None:
    tasks = [task for task in load_suite("core").tasks if task.task in ("copa", "piqa", "boolq")]
    by_task = {task.task: items([True, False] * 20) for task in tasks}
    known = mean_error(by_task, tasks, "v2")
    none_right = mean_error({**by_task, "copa": items([False] * 4)}, tasks, "v2")
    assert known is not None
    assert none_right is not None
    assert none_right > known
    assert mean_error({**by_task, "copa": items([False] * 4, cluster=[0] * 4)}, tasks, "v2") is None


@pytest.mark.parametrize("truth", [0.02, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("clusters", "size"), [(3, 1), (8, 1), (60, 1), (8, 5), (40, 5)])
def test_an_interval_holds_the_truth_as_often_as_it_says_and_stays_within_the_range(
    truth: float, clusters: int, size: int
) -> None:
    """Items of a cluster share a level; few clusters must not make an interval too short."""
    generator = np.random.default_rng(3)
    repeats, held = 300, 0
    levels = np.full((repeats, clusters), truth) if truth == 1.0 else generator.beta(
        2 * truth, 2 * (1 - truth), (repeats, clusters)
    )  # fmt: skip
    for level in levels:
        right = generator.random((clusters, size)) < level[:, None]
        cluster = np.repeat(np.arange(clusters), size).tolist()
        low, high = accuracy(items(right.ravel().tolist(), cluster=cluster)).interval
        assert low is not None
        assert high is not None
        assert 0.0 <= low <= high <= 1.0
        held += low <= truth <= high
    assert held / repeats >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / repeats)


def test_categories_of_a_few_items_do_not_make_a_score_look_surer() -> None:
    """Each category's own mean is subtracted, which takes away half of the variation of two items."""
    generator = np.random.default_rng(4)
    category = np.repeat(np.arange(30), 2)
    found = [accuracy(items((generator.random(60) < 0.4).tolist(), category=category.tolist())) for _ in range(300)]
    errors = [each.standard_error for each in found if each.standard_error is not None]
    assert float(np.mean(errors)) == pytest.approx(float(np.std([each.value for each in found])), rel=0.1)


def test_intervals_of_means_stay_within_the_possible_range() -> None:
    assert mean_interval(0.9, 0.2, freedom=3, least=-1.0, most=1.0).high == 1.0
    assert mean_interval(0.9, None, freedom=3) == (None, None)
    assert mean_interval(0.9, 0.2, freedom=0) == (None, None)
