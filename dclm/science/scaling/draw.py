"""The chart of scaling fits: runs and lines over FLOPs, dashed beyond the runs, as SVG with the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from dclm.charts.escape import escape
from dclm.charts.palette import SERIES
from dclm.charts.svg import picture, shortened
from dclm.science.scaling.fit import Observation, Scaling

_WIDE, _HIGH, _LEFT, _TOP, _BOTTOM, _LEGEND = 460, 300, 64, 34, 46, 300
_LABEL = 40


def draw_scaling(found: Scaling, observations: Sequence[Observation], label: str, title: str) -> str:
    """Every run is a dot; each corpus's line has the common slope, and is dashed up to the edges of the chart."""
    decades = [math.log10(o.flops) for o in observations]
    values = [o.value for o in observations]
    left, right = min(decades) - 0.2, max(decades) + 0.2
    margin = (max(values) - min(values)) * 0.08 or 0.01
    bottom, top = min(values) - margin, max(values) + margin

    def x(decade: float) -> float:
        return round(_LEFT + (decade - left) / (right - left) * _WIDE, 2)

    def y(value: float) -> float:
        return round(_TOP + (top - value) / (top - bottom) * _HIGH, 2)

    shapes = [f'<text class="head" x="{_LEFT}" y="20">{escape(title)}</text>', *_axes(left, right, bottom, top, x, y)]
    shapes.append(f'<text x="{_LEFT + _WIDE / 2:g}" y="{_TOP + _HIGH + 38}" text-anchor="middle">FLOPs (6 N D)</text>')
    turn = f'transform="rotate(-90 16 {_TOP + _HIGH / 2:g})"'
    shapes.append(f'<text x="16" y="{_TOP + _HIGH / 2:g}" text-anchor="middle" {turn}>{escape(label)}</text>')
    shapes.append(f'<clipPath id="inside"><rect x="{_LEFT}" y="{_TOP}" width="{_WIDE}" height="{_HIGH}"/></clipPath>')
    for number, line in enumerate(found.lines):
        color = SERIES[number % len(SERIES)]
        own = [o for o in observations if o.corpus == line.corpus]
        middle = sum(math.log10(o.flops) for o in own) / len(own)
        level = sum(o.value for o in own) / len(own) - found.slope * middle
        low, high = math.log10(line.from_flops), math.log10(line.to_flops)
        for start, end, dash in ((left, low, "3 4"), (low, high, "none"), (high, right, "3 4")):
            y1, y2 = (y(level + found.slope * decade) for decade in (start, end))
            ends = f'x1="{x(start)}" y1="{y1}" x2="{x(end)}" y2="{y2}"'
            shapes.append(f'<line {ends} class="s-{color}" stroke-dasharray="{dash}" clip-path="url(#inside)"/>')
        for o in own:
            shapes.append(f'<circle cx="{x(math.log10(o.flops))}" cy="{y(o.value)}" r="3.5" class="f-{color}"/>')
        name = shortened(line.corpus, _LABEL)
        at = _TOP + 14 + 18 * number
        shapes.append(f'<circle cx="{_LEFT + _WIDE + 18}" cy="{at - 4}" r="4" class="f-{color}"/>')
        shapes.append(f'<text x="{_LEFT + _WIDE + 28}" y="{at}">{escape(name)}</text>')
    width = _LEFT + _WIDE + _LEGEND
    height = max(_TOP + _HIGH + _BOTTOM, _TOP + 24 + 18 * len(found.lines))
    said = f"{len(observations)} runs of {len(found.lines)} corpora: {label} over training compute, with a line each."
    return picture(width, height, shapes, title, said)


def _axes(
    left: float, right: float, bottom: float, top: float, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    for decade in range(math.ceil(left), math.floor(right) + 1):
        yield f'<line class="grid" x1="{x(decade)}" x2="{x(decade)}" y1="{y(bottom)}" y2="{y(top)}"/>'
        yield f'<text x="{x(decade)}" y="{y(bottom) + 18}" text-anchor="middle">1e{decade}</text>'
    for step in range(5):
        value = bottom + (top - bottom) * step / 4
        yield f'<line class="grid" x1="{x(left)}" x2="{x(right)}" y1="{y(value)}" y2="{y(value)}"/>'
        yield f'<text x="{x(left) - 6}" y="{y(value) + 4}" text-anchor="end">{value:.3f}</text>'
