"""Small charts as inline SVG: bars of a table, histograms with their cuts, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dclm.charts.svg import attributes, words
from dclm.report.pictures.histogram import BINS, Histogram, position, totals

WIDTH, HEIGHT = 480, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 26, 24


class BarPart(NamedTuple):
    """A segment of a bar."""

    kind: str
    """Class in the style sheet: kept, cut, other, reject."""
    value: float
    name: str = ""
    """What it stands for, if the kind's own name does not say it."""


_NAMES = {"kept": "kept", "cut": "dropped", "other": "other", "reject": "rejected"}


def bar(parts: Sequence[BarPart], whole: float) -> str:
    """A bar one line high; its segments are drawn next to each other, and `whole` is its full width."""
    said = ", ".join(f"{part.name or _NAMES[part.kind]} {part.value:,}" for part in parts)
    shapes, at = [], 0.0
    for part in parts:
        width = round(1000 * part.value / whole, 2) if whole else 0.0
        if width > 0:
            shapes.append(f'<rect class="{part.kind}" x="{at:g}" width="{max(width, 2):g}" height="16"/>')
        at = round(at + width, 2)
    return (
        f'<svg class="row" viewBox="0 0 1000 16" preserveAspectRatio="none" {attributes(said)}>'
        f"{words(said)}{''.join(shapes)}</svg>"
    )


def short(number: float) -> str:
    """Three significant digits and a unit: 1.43M."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(number) < 999.5 or unit == "T":
            break
        number /= 1000
    return f"{number:.3g}{unit}"


def draw_histogram(histogram: Histogram, description: str | None = None) -> str:
    """Stacked bars (kept, cut, other), with a line at each literal value of a cut.

    description: what is read to those who do not see the picture.
    """
    stacks = np.cumsum([histogram.kept, histogram.cut, histogram.other], axis=0)
    highest = max(1, int(stacks[-1].max()))
    width = (WIDTH - _LEFT - _RIGHT) / BINS
    floor = HEIGHT - _BOTTOM
    shapes = []
    for kind, upper, counts in zip(("kept", "cut", "other"), stacks, np.diff(stacks, axis=0, prepend=0), strict=True):
        for place in np.flatnonzero(counts):
            x = round(_LEFT + place * width, 2)
            y = round(floor - (floor - _TOP) * int(upper[place]) / highest, 2)
            tall = round((floor - _TOP) * int(counts[place]) / highest, 2)
            shapes.append(
                f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width - 0.6:.2f}" height="{max(tall, 0.8):g}"/>'
            )
    shapes += _axes(histogram, highest)
    for cut in histogram.cuts:
        shapes += [line for value in (cut.low, cut.high) if value is not None for line in _mark(histogram, value)]
    title = f"Histogram of {histogram.name}"
    said = ", ".join(f"{_NAMES[kind]} {number:,}" for kind, number in totals(histogram).items())
    more = description or f"From {short(histogram.low)} to {short(histogram.high)}: {said}."
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {attributes(title)}>{words(title, more)}{"".join(shapes)}</svg>'


def swatch(kind: str) -> str:
    """A colored square for a legend, next to the word for it."""
    return f'<svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{kind}" width="1" height="1"/></svg>'


def _axes(histogram: Histogram, highest: int) -> list[str]:
    floor = HEIGHT - _BOTTOM
    shapes = [f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>']
    shapes.append(f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{short(highest)}</text>')
    ticks = 1 if histogram.high <= histogram.low else 5
    for tick in range(ticks):
        share = tick / (ticks - 1) if ticks > 1 else 0.5
        value = _value(histogram, share)
        x = round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        shapes.append(f'<text x="{x:g}" y="{HEIGHT - 8}" text-anchor="{anchor}">{short(value)}</text>')
    return shapes


def _value(histogram: Histogram, share: float) -> float:
    low, high = histogram.low, histogram.high
    if histogram.logarithmic:
        return math.expm1(math.log1p(low) + share * (math.log1p(high) - math.log1p(low)))
    return low * (1 - share) + high * share


def _mark(histogram: Histogram, value: float) -> list[str]:
    share = float(position(np.array([value]), histogram.low, histogram.high, histogram.logarithmic)[0])
    if not 0 <= share <= 1:
        return []
    x = round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)
    anchor = "end" if share > 0.6 else "start"
    shift = -5 if share > 0.6 else 5
    return [
        f'<line class="mark" x1="{x:g}" x2="{x:g}" y1="{_TOP - 12}" y2="{HEIGHT - _BOTTOM}"/>',
        f'<text class="mark" x="{x + shift:g}" y="{_TOP - 6}" text-anchor="{anchor}">{value:.6g}</text>',
    ]
