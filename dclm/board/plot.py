"""CORE against training FLOPs, as an SVG picture inside the page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dclm.board.result import Result

_WIDTH, _HEIGHT = 960, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44


class _Axis(NamedTuple):
    """A linear map from [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)


def render_plot(results: Sequence[Result], tone: Mapping[str, int]) -> str:
    """The picture of those results that have both CORE and FLOPs, or a sentence that there are none."""
    points = [(r, r.training.flops, r.core_v2) for r in results]
    known = [(r, math.log10(flops), 100 * core) for r, flops, core in points if flops is not None and core is not None]
    if not known:
        return '<p class="note">No result has both CORE and training FLOPs yet.</p>'
    x = _Axis(*_bounds([power + side for _, power, _ in known for side in (-0.1, 0.1)], 1.0), _LEFT, _WIDTH - _RIGHT)
    ends = [core + sign * 100 * (r.core_v2_stderr or 0.0) for r, _, core in known for sign in (-1, 1)]
    step = _step(ends)
    y = _Axis(*_bounds(ends, step), _HEIGHT - _BOTTOM, _TOP)
    shapes = [*_grid(x, y, step), *(_point(r, x.at(flops), core, y, tone) for r, flops, core in known)]
    label = f"Scatter plot of CORE against training FLOPs, {len(known)} results"
    body = "\n".join(shapes)
    return f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">\n{body}\n</svg>'


def _bounds(values: Sequence[float], step: float) -> tuple[float, float]:
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    return (low, high) if high > low else (low - step, high + step)


def _step(values: Sequence[float]) -> float:
    """A round distance between grid lines that gives at most about eight of them over the values, or over a point."""
    spread = max(max(values) - min(values), 1.0)
    power: float = 10.0 ** math.floor(math.log10(spread / 4))
    return next(factor * power for factor in (1, 2, 5, 10) if spread / (factor * power) <= 8)


def _grid(x: _Axis, y: _Axis, step: float) -> list[str]:
    out = []
    digits = max(0, -math.floor(math.log10(step)))
    for i in range(round((y.high - y.low) / step) + 1):
        value = y.low + i * step
        at = y.at(value)
        out.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>')
        out.append(f'<text x="{_LEFT - 8}" y="{at + 4}" text-anchor="end">{value:.{digits}f}</text>')
    stride = max(1, round((x.high - x.low) / 8))
    for power in range(round(x.low), round(x.high) + 1, stride):
        out.append(f'<line x1="{x.at(power)}" x2="{x.at(power)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        out.append(f'<text x="{x.at(power)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">1e{power}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    out.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">training FLOPs</text>')
    out.append(
        f'<text x="14" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {_HEIGHT / 2})">CORE</text>'
    )
    return out


def _point(result: Result, x: float, core: float, y: _Axis, tone: Mapping[str, int]) -> str:
    name, scale = html.escape(result.name), html.escape(result.training.scale)
    error = ""
    if result.core_v2_stderr:
        low, high = (y.at(core + sign * 100 * result.core_v2_stderr) for sign in (-1, 1))
        error = f'<line class="error" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
    title = f"<title>{name} ({scale}): {core:.2f}</title>"
    circle = f'<circle cx="{x}" cy="{y.at(core)}" r="6" data-id="{result.id}">{title}</circle>'
    return f'<g class="t{tone[result.training.scale]}" data-scale="{scale}">{error}{circle}</g>'
