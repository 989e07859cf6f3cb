"""CORE against training FLOPs with the frontier, as an SVG chart inside the page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dclm.board.entry import Entry
from dclm.board.uncertainty import core_error
from dclm.charts.scroll import scrolled
from dclm.charts.svg import attributes, words

_WIDTH, _HEIGHT = 960, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 44


class _Axis(NamedTuple):
    """A linear map from [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)


class _Point(NamedTuple):
    entry: Entry
    power: float
    """log10 of the training FLOPs."""
    core: float
    """In percent."""
    error: float | None
    """Standard error of `core`; None if unknown."""


def render_plot(entries: Sequence[Entry], tone: Mapping[str, int]) -> str:
    """The chart of the entries that have both CORE and FLOPs, or a sentence if no entry has them."""
    points = [point for entry in entries if (point := _point_of(entry)) is not None]
    if not points:
        return '<p class="note">No result has both CORE and training FLOPs yet.</p>'
    x = _Axis(*_bounds([p.power + side for p in points for side in (-0.1, 0.1)], 1.0), _LEFT, _WIDTH - _RIGHT)
    ends = [p.core + sign * (p.error or 0.0) for p in points for sign in (-1, 1)]
    step = _step(ends)
    y = _Axis(*_bounds(ends, step), _HEIGHT - _BOTTOM, _TOP)
    points.sort(key=lambda p: not p.entry.published)  # own results are drawn on top
    shapes = [*_grid(x, y, step), *_frontier(points, x, y), *(_point(p, x, y, tone) for p in points)]
    title = f"CORE against training FLOPs, {len(points)} results"
    best = max(points, key=lambda p: p.core)
    said = f"The best is {best.entry.shown} with {best.core:.2f}; the table below has all numbers."
    body = "\n".join([words(title, said), *shapes])
    view = f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" {attributes(title)}>'
    return scrolled(f"{view}\n{body}\n</svg>", title, far=True)


def _point_of(entry: Entry) -> _Point | None:
    result = entry.result
    if result.training.flops is None or result.core_v2 is None:
        return None
    error = core_error(result)
    power = math.log10(result.training.flops)
    return _Point(entry, power, 100 * result.core_v2, None if error is None else 100 * error.value)


def _frontier(points: Sequence[_Point], x: _Axis, y: _Axis) -> list[str]:
    """The best CORE up to each number of FLOPs, with a band of one standard error. Unverified and limited results do
    not count."""
    best: list[_Point] = []
    for point in sorted(
        (p for p in points if p.entry.standing not in ("apart", "evaluated")), key=lambda p: (p.power, -p.core)
    ):
        if not best or point.core > best[-1].core:
            best.append(point)
    if not best:
        return []
    steps = [*zip(best, [p.power for p in best[1:]] + [x.high], strict=True)]

    def edge(sign: float) -> list[str]:
        corners = [(power, p.core + sign * (p.error or 0.0)) for p, end in steps for power in (p.power, end)]
        return [f"{x.at(power)},{y.at(min(max(core, y.low), y.high))}" for power, core in corners]

    band = " ".join([*edge(1), *reversed(edge(-1))])
    return [f'<polygon class="band" points="{band}"/>', f'<polyline class="frontier" points="{" ".join(edge(0))}"/>']


def _bounds(values: Sequence[float], step: float) -> tuple[float, float]:
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    return (low, high) if high > low else (low - step, high + step)


def _step(values: Sequence[float]) -> float:
    """A round grid spacing that gives at most about eight grid lines over the values, or around a single point."""
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


def _point(point: _Point, x: _Axis, y: _Axis, tone: Mapping[str, int]) -> str:
    entry, at = point.entry, x.at(point.power)
    scale = html.escape(entry.result.training.scale)
    error = ""
    if point.error:
        low, high = (y.at(point.core + sign * point.error) for sign in (-1, 1))
        error = f'<line class="error" x1="{at}" x2="{at}" y1="{low}" y2="{high}"/>'
    sure = "error unknown" if point.error is None else f"± {point.error:.2f}"
    title = f"<title>{html.escape(entry.shown)} ({scale}): {point.core:.2f} {sure}</title>"
    radius = 3.5 if entry.published else 6
    circle = f'<circle cx="{at}" cy="{y.at(point.core)}" r="{radius}">{title}</circle>'
    kind = " published" if entry.published else ""
    return f'<g class="t{tone[entry.result.training.scale]}{kind}" data-id="{entry.id}">{error}{circle}</g>'
