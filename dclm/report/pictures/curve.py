"""How well a classifier separates two classes, as one SVG chart: precision and recall, ROC, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dclm.charts.escape import escape
from dclm.charts.svg import picture, shortened

_SIDE, _GAP, _LEFT, _TOP, _BOTTOM = 260, 70, 60, 40, 48
_FOOT = 120  # characters below the panels


class _Panel(NamedTuple):
    """One square with both axes from 0 to 1."""

    place: int
    title: str
    across: str
    up: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (round(_LEFT + self.place * (_SIDE + _GAP) + x * _SIDE, 2), round(_TOP + (1 - y) * _SIDE, 2))

    def frame(self) -> Iterable[str]:
        left, top = self.at(0, 1)
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            (x, y), (right, bottom) = self.at(tick, tick), self.at(1, 0)
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
            yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
            yield f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
            yield f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>'
        middle = round(left + _SIDE / 2, 2)
        yield f'<text class="head" x="{left}" y="{top - 12}">{escape(self.title)}</text>'
        yield f'<text x="{middle}" y="{top + _SIDE + 34}" text-anchor="middle">{self.across}</text>'
        turn = f'transform="rotate(-90 {left - 38} {top + _SIDE / 2:g})"'
        yield f'<text x="{left - 38}" y="{top + _SIDE / 2:g}" text-anchor="middle" {turn}>{self.up}</text>'

    def curve(self, points: Sequence[tuple[float, float]]) -> str:
        path = " ".join(f"{x:g},{y:g}" for x, y in (self.at(*p) for p in points))
        return f'<polyline class="curve" points="{path}"/>'

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> str:
        (x1, y1), (x2, y2) = self.at(*start), self.at(*end)
        return f'<line class="even" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def draw_curves(summary: Mapping[str, object], curve: Sequence[Mapping[str, float]], title: str) -> str:
    """The chart of a `dclm.select.classifier.score.ClassifierJudgment`; the same input gives the same bytes.

    Without `reliability` in the summary, there is no calibration. Dashed lines show chance level, and for calibration
    the diagonal of perfectly calibrated scores.
    """
    documents, positives = (int(str(summary[name])) for name in ("documents", "positives"))
    base = positives / documents
    table = summary.get("reliability", [])
    assert isinstance(table, list)
    first = _Panel(0, f"average precision {summary['average_precision']:.4f}", "recall", "precision")
    second = _Panel(1, f"ROC-AUC {summary['roc_auc']:.4f}", "fraction of bad kept", "fraction of good kept")
    panels = [first, second]
    if table:
        third = _Panel(2, f"calibration error {summary['calibration_error']:.4f}", "mean score", "fraction of good")
        panels.append(third)
    steps = [(0.0, curve[0]["precision"]), *((p["recall"], p["precision"]) for p in curve)]
    wrong = [p["kept"] * documents * (1 - p["precision"]) / (documents - positives) for p in curve]
    shapes = [shape for panel in panels for shape in panel.frame()]
    shapes += [first.line((0, base), (1, base)), first.curve(steps)]
    shapes += [second.line((0, 0), (1, 1))]
    shapes += [second.curve([(0.0, 0.0), *((x, p["recall"]) for x, p in zip(wrong, curve, strict=True))])]
    if table:
        shapes += [third.line((0, 0), (1, 1))]
    for row in table:
        if row["documents"]:
            x, y = third.at(row["mean_score"], row["positive_fraction"])
            size = 3 + 9 * (row["documents"] / documents) ** 0.5
            shapes.append(f'<circle class="f-c1" cx="{x}" cy="{y}" r="{size:.2f}"/>')
    width, height = _LEFT + len(panels) * (_SIDE + _GAP) - _GAP + 20, _TOP + _SIDE + _BOTTOM + 22
    what = _what(title, positives, documents)
    shapes.append(f'<text x="{_LEFT}" y="{height - 8}">{escape(shortened(what, _FOOT))}</text>')
    numbers = "; ".join(panel.title for panel in panels)
    return picture(width, height, shapes, what, f"Curves of a classifier: {numbers}.")


def _what(title: str, positives: int, documents: int) -> str:
    return f"{title}: {positives:,} good of {documents:,} documents"
