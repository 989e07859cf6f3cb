"""Standard errors: against formulas, against resampling, and where items are shared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dclm.eval.statistics.stats import TaskItems, accuracy, mean_error
from dclm.eval.suite import load_suite


def items(correct: list[bool], category: list[int] | None = None, cluster: list[int] | None = None) -> TaskItems:
    count = len(correct)
    return TaskItems(
        correct=np.array(correct, np.bool_),
        category=np.array(category or [0] * count, np.int32),
        cluster=np.array(cluster or range(count), np.int64),
    )


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
    expected = sum((accuracy(by_task[t.task]).standard_error / (3 * (1 - t.metadata.baseline.v2))) ** 2 for t in tasks)
    assert mean_error(by_task, tasks, "v2") == pytest.approx(math.sqrt(expected), rel=0.01)


def test_two_tasks_on_the_same_items_are_not_two_samples() -> None:
    tasks = [task for task in load_suite("core").tasks if task.task.startswith("hellaswag")]
    right = (np.random.default_rng(2).random(500) < 0.5).tolist()
    same = mean_error({task.task: items(right) for task in tasks}, tasks, "v2")
    alone = accuracy(items(right)).standard_error / 0.75
    assert len(tasks) == 2
    assert same == pytest.approx(alone)
