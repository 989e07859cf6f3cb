"""Charts of scores: one run compared with guessing, and two recipes compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dclm.charts.figure import figure
from dclm.charts.palette import LIGHT
from dclm.eval.aggregate import centred
from dclm.eval.statistics.compare import Comparison
from dclm.eval.statistics.continuous import METRICS
from dclm.eval.statistics.difference import Difference
from dclm.eval.suite import load_suite
from dclm.eval.task import SUITE_DIR, load_task

BLUE, ORANGE, GREY, BLACK = (LIGHT[name] for name in ("accent", "cut", "other", "ink"))
NORMAL_REACH = 1.96
NAME_WIDTH = 76


class _Line(NamedTuple):
    """One row of a chart: a point with its interval."""

    label: str
    value: float
    low: float | None
    """None if it cannot be estimated from the items; then only a point is drawn."""
    high: float | None
    color: str
    bold: bool = False


def draw_scores(path: Path, scores: Mapping[str, Any], title: str, folder: Path = SUITE_DIR) -> None:
    """Write a chart of the centered accuracies in `scores` (the content of scores.json), by group of abilities.

    0 is the published baseline and 1 means no mistakes; bars are 95 % confidence intervals. Tasks of CORE are blue, and
    diamonds are means: a group has one only if all its tasks have a score.
    """
    core = set(load_suite("core").labels)
    groups: dict[str, list[_Line]] = {}
    for label, task in scores["tasks"].items():
        baseline = task["baseline"]["v2"]
        low, high = (None if end is None else centred(end, baseline) for end in task["interval"])
        value = centred(task["accuracy"], baseline)
        color = BLUE if label in core else ORANGE
        groups.setdefault(load_task(label, folder).metadata.group, []).append(_Line(label, value, low, high, color))
    means = [
        _Line(name.upper(), value, *_normal_ends(value, scores[f"{name}_v2_standard_error"]), BLACK, True)
        for name in ("core", "extended")
        if (value := scores[f"{name}_v2"]) is not None
    ]
    blocks = [("", means)] if means else []
    for name, lines in sorted(groups.items()):
        ordered = sorted(lines, key=lambda line: -line.value)
        mean = scores["groups"].get(name, {}).get("v2")
        head = [] if mean is None else [_Line(name, mean, mean, mean, BLACK, True)]
        blocks.append(("", [*head, *ordered]) if head else (name, ordered))
    note = "" if scores["limited"] is None else f" (first {scores['limited']} rows of each task)"
    axis = "centered accuracy (0: published baseline v2, 1: no mistakes)\ntasks of CORE are blue, means are diamonds"
    _draw(path, blocks, f"{title}{note}", axis)


def draw_bits(path: Path, scores: Mapping[str, Any], title: str) -> None:
    """Write a chart of the bits per byte of the right answers in `scores` (the content of scores.json).

    Tasks are sorted by increasing bits, with 95 % confidence intervals; those of CORE are blue.
    """
    core = set(load_suite("core").labels)
    known = {label: found for label, task in scores["tasks"].items() if (found := task["continuous"]["bits_per_byte"])}
    lines = [
        _Line(label, found["value"], found["interval"][0], found["interval"][1], BLUE if label in core else ORANGE)
        for label, found in sorted(known.items(), key=lambda entry: entry[1]["value"])
    ]
    mean, error = scores["core_bpb"], scores["core_bpb_standard_error"]
    if mean is not None:
        low, high = (
            (None, None) if error is None else (max(0.0, mean - NORMAL_REACH * error), mean + NORMAL_REACH * error)
        )
        lines.insert(0, _Line("CORE", mean, low, high, BLACK, True))
    note = "" if scores["limited"] is None else f" (first {scores['limited']} rows of each task)"
    _draw(path, [("", lines)], f"{title}{note}", "bits per byte of the right answer (lower is better)")


def draw_forest(path: Path, found: Comparison, a: str, b: str, metric: str | None = None) -> None:
    """Write a forest plot: the differences of the means, then of the tasks from the largest to the smallest.

    metric: the continuous score whose differences are drawn by task; None: accuracy.

    Intervals are blue if B is better, orange if A is better, and gray if they contain zero. `a` and `b` name the two
    recipes.
    """
    means = [_forest_line(label, mean, True) for label, mean in found.means.items()]
    if metric is None:
        named_tasks = {label: task.difference for label, task in found.tasks.items()}
    else:
        named_tasks = {label: each[metric] for label, each in found.continuous.items() if metric in each}
    better = -1.0 if metric is not None and METRICS[metric].less_is_better else 1.0
    tasks = sorted(named_tasks.items(), key=lambda entry: -better * entry[1].value)
    lines = [_forest_line(label, each, False, better) for label, each in tasks]
    num_a, num_b = found.num_runs
    runs = "one run of each" if num_a == num_b == 1 else f"{num_a} runs of A and {num_b} of B"
    rows = " and ".join(map(str, found.limited))
    note = f" (first {rows} rows of each task)" if rows else ""
    bits = {**({} if found.core_bpb is None else {"CORE, right answers": found.core_bpb}), **found.texts}
    texts = [_forest_line(name, each, False, better=-1.0) for name, each in bits.items()]
    measured = "accuracy" if metric is None else METRICS[metric].title
    named = (("means", means), ("bits per byte (lower is better)", texts), (f"{measured} by task", lines))
    blocks = [(name, block) for name, block in named if block]
    names = "\n".join(f"{letter}: {_end(name)}" for letter, name in (("A", a), ("B", b)))
    _draw(
        path, blocks, f"B minus A, {runs}{note}\n{names}", "difference, 95 % intervals; blue: B is better, orange: A is"
    )


def _normal_ends(value: float, error: float | None) -> tuple[float | None, float | None]:
    """Scale of a mean centered accuracy, which is at most 1."""
    return (None, None) if error is None else (value - NORMAL_REACH * error, min(1.0, value + NORMAL_REACH * error))


def _end(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def _forest_line(label: str, d: Difference, bold: bool, better: float = 1.0) -> _Line:
    sure = d.low is not None and d.high is not None and (d.low > 0.0 or d.high < 0.0)
    color = GREY if not sure else BLUE if better * d.value > 0.0 else ORANGE
    return _Line(label, d.value, d.low, d.high, color, bold)


def _draw(path: Path, blocks: Sequence[tuple[str, Sequence[_Line]]], title: str, axis: str) -> None:
    rows = sum(len(lines) + bool(name) for name, lines in blocks)
    every = [line for _, lines in blocks for line in lines]
    with figure(path, title, _said(every, axis), width=7, height=1.4 + 0.17 * rows) as drawn:
        axes = drawn.add_subplot()
        left, right = limits(every)
        axes.set_xlim(left, right)
        place, labels = 0.0, []
        for name, lines in blocks:
            if name:
                labels.append((place, name, "bold"))
                place += 1.0
            for line in lines:
                _draw_line(axes, line, place, left, right)
                labels.append((place, line.label, "bold" if line.bold else "normal"))
                place += 1.0
        axes.axvline(0.0, color=BLACK, linewidth=0.8)
        axes.set_ylim(place - 0.4, -0.6)
        axes.set_yticks([at for at, _, _ in labels], [text for _, text, _ in labels], fontsize=7)
        for tick, (_, _, weight) in zip(axes.get_yticklabels(), labels, strict=True):
            tick.set_fontweight(weight)
            tick.set_parse_math(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        drawn.suptitle(title, fontsize=9, x=0.01, horizontalalignment="left", parse_math=False)
        axes.set_xlabel(axis, fontsize=8)


def _draw_line(axes: Any, line: _Line, place: float, left: float, right: float) -> None:
    """A point with its interval; an arrowhead marks an end that is outside the chart."""
    if line.low is not None and line.high is not None:
        width = 1.8 if line.bold else 1.1
        axes.plot([max(line.low, left), min(line.high, right)], [place, place], color=line.color, linewidth=width)
        for beyond, end, marker in ((line.low < left, left, "<"), (line.high > right, right, ">")):
            if beyond:
                axes.plot([end], [place], marker, color=line.color, markersize=4, clip_on=False)
    marker, size = ("D", 5.0) if line.bold else ("o", 3.5)
    axes.plot([line.value], [place], marker, color=line.color, markersize=size)


def limits(lines: Sequence[_Line]) -> tuple[float, float]:
    """The ends of the axis: zero and every point are inside, and nine of ten ends of intervals.

    A few tasks with few items have intervals so wide that the others could not be told apart if all had to fit.
    """
    values = [0.0, *(line.value for line in lines)]
    lows = sorted(line.low for line in lines if line.low is not None)
    highs = sorted(line.high for line in lines if line.high is not None)
    left = min([*values, *lows[len(lows) // 10 :][:1]])
    right = max([*values, *highs[: len(highs) - len(highs) // 10][-1:]])
    margin = 0.04 * (right - left) or 0.05
    return left - margin, right + margin


def _said(lines: Sequence[_Line], axis: str) -> str:
    """The numbers of a chart as a sentence per line."""
    parts = []
    for line in lines:
        known = line.low is not None and line.high is not None and line.low < line.high
        ends = f" ({line.low:.3f} to {line.high:.3f})" if known else ""
        parts.append(f"{line.label}: {line.value:.3f}{ends}")
    return f"{' '.join(axis.split())}. {'; '.join(parts)}."
