"""How noisy each score of each task is, and which scores can distinguish some corpora.

For every task and metric, over the given runs:

  sampling     standard error from the choice of items, root mean square over the runs
  seeds        standard deviation between seeds, pooled over the corpora that have several runs
  checkpoints  standard deviation over the last checkpoints of a run, pooled over the runs with checkpoints
  signal       standard deviation between corpora, after subtracting what noise alone would add
  ratio        signal / noise, where noise is `seeds`, or `checkpoints` if no corpus has two seeds

Items are the same in all runs, so `sampling` shifts all corpora together and is not included in the ratio; it shows how
far the score may be from that on other items. Values that cannot be estimated are None. A pair of corpora is
distinguished if the 95 % interval of its difference (`dclm.eval.statistics.difference`) excludes zero; of pairs that do
not differ, one in twenty is distinguished by chance.

Source: signal and noise as in arXiv 2508.13144, whose noise is that of the last checkpoints.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from dclm.core.errors import ConfigError, DataError
from dclm.eval.statistics.compare import same_items
from dclm.eval.statistics.continuous import METRICS, mean_bits
from dclm.eval.statistics.difference import difference
from dclm.eval.statistics.runs import ScoredModel, continuous_of, items_of, read_run, refuse_other_items, refuse_repeats
from dclm.eval.statistics.stats import Score, TaskItems, mean_score, task_score
from dclm.eval.suite import load_suite

ACCURACY = "accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """One score of one task over some corpora."""

    mean: float
    """Mean over corpora."""
    sampling: float | None
    seeds: float | None
    checkpoints: float | None
    signal: float | None
    """None: a single corpus, or noise that cannot be estimated."""
    ratio: float | None
    told_apart: tuple[tuple[str, str], ...]
    """Distinguished pairs of corpora, the better one first."""
    pairs: int
    """Number of all pairs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseReport:
    """Every score that all runs have."""

    corpora: Mapping[str, int]
    """Name → runs."""
    means: Mapping[str, Noise]
    """CORE v2, and the bits per byte over CORE, if all runs have them."""
    tasks: Mapping[str, Mapping[str, Noise]]
    """Task → `accuracy`, or a name in `dclm.eval.statistics.continuous.METRICS`."""
    items: Mapping[str, int]
    """Task → number of items scored."""
    limited: tuple[int, ...]
    """Limits on rows per task with which runs were scored."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return dataclasses.asdict(self)


def measure_noise(corpora: Mapping[str, Sequence[Path]], checkpoints: Sequence[Sequence[Path]] = ()) -> NoiseReport:
    """The noise of every score in the artifacts of some corpora, with one or more runs each.

    checkpoints: for some runs, the scores of their last checkpoints.
    Raises: ConfigError if nothing repeats, so that noise cannot be measured; DataError if runs have no task in common,
    or were scored on other items.
    """
    if all(len(paths) < 2 for paths in [*corpora.values(), *checkpoints]):
        what = "found one run of each corpus and no checkpoints, so the variation of scores is unknown"
        raise ConfigError("noise", what, "provide several seeds of a corpus, or --checkpoints")
    groups = {name: [read_run(path) for path in paths] for name, paths in corpora.items()}
    last = [[read_run(path) for path in paths] for paths in checkpoints]
    everything = [run for group in [*groups.values(), *last] for run in group]
    for group in [*groups.values(), *last]:
        refuse_repeats(group)
    labels = sorted(set.intersection(*(set(run.tasks) for run in everything)))
    if not labels:
        raise DataError("noise", "the runs have no task in common")
    refuse_other_items(everything, labels)
    known = {id(run): (items_of(run, labels), continuous_of(run, labels)) for run in everything}
    tasks: dict[str, dict[str, Noise]] = {}
    for label in labels:
        found = {ACCURACY: _of({k: (v[0][label]) for k, v in known.items()}, groups, last, 1.0, False)}
        for metric, about in METRICS.items():
            mine = {key: value[1][label].get(metric) for key, value in known.items()}
            found[metric] = _of(mine, groups, last, about.most - about.least, about.less_is_better)
        tasks[label] = {metric: each for metric, each in found.items() if each is not None}
    core = load_suite("core").tasks
    means: dict[str, Noise] = {}
    if {task.task for task in core} <= set(labels):
        scores = {key: mean_score(value[0], core, "v2") for key, value in known.items()}
        means["CORE v2"] = _over(scores, groups, last, math.inf, False)
        bits = {key: score for key, value in known.items() if (score := mean_bits(value[1], core)) is not None}
        if len(bits) == len(known) and len({len(score.influence) for score in bits.values()}) == 1:
            means["CORE, bits per byte"] = _over(bits, groups, last, math.inf, True)
    return NoiseReport(
        corpora={name: len(group) for name, group in groups.items()},
        means=means,
        tasks=tasks,
        items={label: len(known[id(everything[0])][0][label].values) for label in labels},
        limited=tuple(sorted({r.report["limited"] for r in everything if r.report["limited"] is not None})),
    )


Groups = Mapping[str, Sequence[ScoredModel]]


def _of(
    items: Mapping[int, TaskItems | None],
    groups: Groups,
    last: Sequence[Sequence[ScoredModel]],
    most: float,
    less: bool,
) -> Noise | None:
    """The noise of one score of one task; None if the runs did not score the same items."""
    first = next(iter(items.values()))
    if first is None or not all(same_items(first, other) for other in items.values()):
        return None
    scores = {key: task_score(mine) for key, mine in items.items() if mine is not None}
    return _over(scores, groups, last, most, less)


def _over(
    scores: Mapping[int, Score], groups: Groups, last: Sequence[Sequence[ScoredModel]], most: float, less: bool
) -> Noise:
    return noise(
        {name: [scores[id(run)] for run in group] for name, group in groups.items()},
        [[scores[id(run)] for run in group] for group in last],
        most=most,
        less_is_better=less,
    )


def noise(
    runs: Mapping[str, Sequence[Score]],
    checkpoints: Sequence[Sequence[Score]] = (),
    *,
    most: float = math.inf,
    less_is_better: bool = False,
) -> Noise:
    """The noise of a score that the `runs` of each corpus have, one per seed.

    checkpoints: for some runs, the scores of their last checkpoints. most: the largest possible difference.
    """
    each = [score for scores in runs.values() for score in scores]
    errors = [score.standard_error for score in each]
    known = [error for error in errors if error is not None]
    means = [math.fsum(s.value for s in scores) / len(scores) for scores in runs.values()]
    seeds = _pooled([[s.value for s in scores] for scores in runs.values()])
    last = _pooled([[s.value for s in scores] for scores in checkpoints])
    level = seeds if seeds is not None else last
    signal = None
    if level is not None and len(means) > 1:
        share = math.fsum(1.0 / len(scores) for scores in runs.values()) / len(runs)
        signal = math.sqrt(max(0.0, _variance(means) - level**2 * share))
    apart = []
    for (a, of_a), (b, of_b) in itertools.combinations(runs.items(), 2):
        found = difference(of_a, of_b, most=most)
        if found.low is not None and found.high is not None and (found.low > 0.0 or found.high < 0.0):
            apart.append((b, a) if (found.value > 0.0) != less_is_better else (a, b))
    return Noise(
        mean=math.fsum(means) / len(means),
        sampling=math.sqrt(math.fsum(e**2 for e in known) / len(known)) if len(known) == len(each) else None,
        seeds=seeds,
        checkpoints=last,
        signal=signal,
        ratio=None if signal is None or not level else signal / level,
        told_apart=tuple(apart),
        pairs=len(runs) * (len(runs) - 1) // 2,
    )


def _pooled(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups; None if no group has two values."""
    freedom = sum(len(group) - 1 for group in groups if len(group) > 1)
    if freedom == 0:
        return None
    return math.sqrt(math.fsum((len(g) - 1) * _variance(g) for g in groups if len(g) > 1) / freedom)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
