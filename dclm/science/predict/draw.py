"""The chart of a backtest: stated probabilities against outcomes, as SVG with the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dclm.charts.escape import escape
from dclm.charts.svg import picture
from dclm.science.predict.backtest import Backtest

_SIDE, _GAP, _LEFT, _TOP, _BOTTOM = 250, 70, 56, 44, 46
_LOW = 0.5
"""Both axes run from even odds to certainty."""
_FEW = 20
"""Bins with fewer pairs say little: drawn pale."""


def draw_calibration(tests: Sequence[tuple[str, Backtest]]) -> str:
    """One square per (title, backtest): mean stated probability on the x-axis, fraction that came true on the y-axis;
    size by pairs.

    Bars: two binomial standard errors, which are too short, because pairs share corpora.
    """
    width = _LEFT + len(tests) * _SIDE + (len(tests) - 1) * _GAP + 20
    height = _TOP + _SIDE + _BOTTOM
    shapes = [shape for place, (title, test) in enumerate(tests) for shape in _panel(place, title, test)]
    said = "; ".join(f"{title}: {len(test.pairs)} pairs, {test.accuracy:.3f} right" for title, test in tests)
    return picture(width, height, shapes, "Stated probabilities and outcomes", f"{said}.")


def _panel(place: int, title: str, test: Backtest) -> Iterator[str]:
    left = _LEFT + place * (_SIDE + _GAP)

    def x(value: float) -> float:
        return round(left + (value - _LOW) / (1 - _LOW) * _SIDE, 2)

    def y(value: float) -> float:
        return round(_TOP + (1 - min(max(value, 0.0), 1.0)) * _SIDE, 2)

    yield f'<text class="head" x="{left}" y="{_TOP - 26}">{escape(title)}</text>'
    yield (
        f'<text x="{left}" y="{_TOP - 9}">{len(test.pairs)} pairs, {test.accuracy:.3f} right, Brier {test.brier:.3f}'
        "</text>"
    )
    for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        yield f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{y(0)}" y2="{y(1)}"/>'
        yield f'<text x="{x(tick)}" y="{y(0) + 16}" text-anchor="middle">{tick:g}</text>'
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield f'<line class="grid" x1="{x(0.5)}" x2="{x(1)}" y1="{y(tick)}" y2="{y(tick)}"/>'
        yield f'<text x="{left - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>'
    yield f'<line class="even" x1="{x(0.5)}" y1="{y(0.5)}" x2="{x(1)}" y2="{y(1)}"/>'
    middle = _TOP + _SIDE / 2
    yield f'<text x="{x(0.75)}" y="{y(0) + 36}" text-anchor="middle">stated probability</text>'
    if place == 0:
        turn = f'transform="rotate(-90 {left - 40} {middle:g})"'
        yield f'<text x="{left - 40}" y="{middle:g}" text-anchor="middle" {turn}>fraction of true pairs</text>'
    for found in test.bins:
        if found.said is None or found.right is None:
            continue
        reach = 2 * (found.said * (1 - found.said) / found.pairs) ** 0.5
        at, radius = x(found.said), 3 + 9 * (found.pairs / len(test.pairs)) ** 0.5
        kind = "dot" if found.pairs >= _FEW else "few"
        yield f'<line class="error" x1="{at}" x2="{at}" y1="{y(found.right - reach)}" y2="{y(found.right + reach)}"/>'
        yield f'<circle class="{kind}" cx="{at}" cy="{y(found.right)}" r="{radius:.2f}"/>'
        yield f'<text x="{at - radius - 4:.2f}" y="{y(found.right) + 12:.2f}" text-anchor="end">{found.pairs}</text>'
