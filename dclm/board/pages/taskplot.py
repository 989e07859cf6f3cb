"""The scores of one result per task, with error bars, and those of similar published runs, as an SVG chart."""

from __future__ import annotations

from collections.abc import Sequence

from dclm.board.result import Result
from dclm.board.uncertainty import task_error
from dclm.charts.scroll import scrolled
from dclm.charts.svg import attributes, words
from dclm.eval.suite import load_suite

_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 960, 17, 268, 26, 22


def render_tasks(result: Result, others: Sequence[Result]) -> str:
    """One row per task that has a score: CORE first, each part from the highest score down."""
    suite, core = load_suite("extended"), set(load_suite("core").labels)
    tasks = [task for task in suite.tasks if task.task in result.scores]
    tasks.sort(key=lambda task: (task.task not in core, -result.scores[task.task].score))
    first_other = sum(task.task in core for task in tasks)
    gap = _ROW if 0 < first_other < len(tasks) else 0
    height = _TOP + _ROW * len(tasks) + gap + 8
    shapes = [_grid(height)]
    for number, task in enumerate(tasks):
        label = task.task
        y = _TOP + _ROW * (number + 0.5) + (gap if number >= first_other else 0)
        known = [other.scores[label].score for other in others if label in other.scores]
        for score in known:
            shapes.append(f'<circle class="other" cx="{_x(score)}" cy="{y}" r="3.5"/>')
        guess = task.metadata.baseline.v2
        shapes.append(f'<line class="guess" x1="{_x(guess)}" x2="{_x(guess)}" y1="{y - 6}" y2="{y + 6}"/>')
        shapes.append(_dot(result, label, y))
        weight = ' class="core"' if label in core else ""
        shapes.append(f'<text{weight} x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{label}</text>')
    if gap:
        y = _TOP + _ROW * (first_other + 0.72)
        shapes.append(f'<text x="{_LEFT - 12}" y="{y}" text-anchor="end">— EXTENDED only —</text>')
    title = f"Scores of {len(tasks)} tasks with standard errors"
    said = "; ".join(f"{task.task} {100 * result.scores[task.task].score:.1f} %" for task in tasks)
    body = "\n".join([words(title, said), *shapes])
    view = f'<svg class="plot tasks" viewBox="0 0 {_WIDTH} {height}" {attributes(title)}>'
    return scrolled(f"{view}\n{body}\n</svg>", title, far=True)


def _x(score: float) -> float:
    return round(_LEFT + score * (_WIDTH - _LEFT - _RIGHT), 1)


def _grid(height: float) -> str:
    lines = []
    for i in range(0, 101, 20):
        at = _x(i / 100)
        lines.append(f'<line x1="{at}" x2="{at}" y1="{_TOP - 4}" y2="{height}"/>')
        lines.append(f'<text x="{at}" y="{_TOP - 9}" text-anchor="middle">{i} %</text>')
    return "".join(lines)


def _dot(result: Result, label: str, y: float) -> str:
    score, error = result.scores[label].score, task_error(result, label)
    bar, kind = "", "mine"
    if error is not None:
        low, high = (_x(min(max(score + sign * error.value, 0.0), 1.0)) for sign in (-1, 1))
        bar = f'<line class="error" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        kind = "mine" if error.measured else "mine hollow"
    said = f"{label}: {100 * score:.1f}" + ("" if error is None else f" ± {100 * error.value:.1f}")
    return f'{bar}<circle class="{kind}" cx="{_x(score)}" cy="{y}" r="5"><title>{said}</title></circle>'
