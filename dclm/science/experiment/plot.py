"""The charts of an experiment, as SVG with the same bytes for the same points."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dclm.charts.figure import figure
from dclm.charts.palette import LIGHT, SERIES
from dclm.science.experiment.run import Point
from dclm.science.experiment.share import ShareFit, base_name
from dclm.science.experiment.statistics import Difference, IntervalEstimate, Mean, PowerLaw, estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BITS = "bits per byte of held-out text"


def draw_order(
    path: Path, points: Sequence[Point], cells: Sequence[Mean], found: Sequence[Difference], title: str
) -> None:
    """Left: each recipe's seeds and their mean. Right: the gain of each recipe over the previous one."""
    with _figure(path, title, _order_said(cells), width=10) as drawn:
        left, right = drawn.subplots(1, 2)
        recipes = list(dict.fromkeys(c.recipe for c in cells))
        for index, (scale, tokens) in enumerate(dict.fromkeys((c.scale, c.tokens) for c in cells)):
            style = {"color": _color(index), "label": f"{scale}, {tokens:,} tokens"}
            here = [p for p in points if (p.scale, p.tokens) == (scale, tokens)]
            for seed in dict.fromkeys(p.seed for p in here):
                line = [p.bits_per_byte for p in here if p.seed == seed]
                left.plot(recipes, line, "o-", color=_color(index), alpha=0.35, markersize=3, linewidth=0.8)
            chosen = [c.bits for c in cells if (c.scale, c.tokens) == (scale, tokens)]
            left.plot(recipes, [b.value for b in chosen], "_", markersize=22, markeredgewidth=2, **style)
            gains = [d for d in found if (d.scale, d.tokens) == (scale, tokens)]
            places = [place + 0.1 * index for place in range(len(gains))]
            _error_bars(right, places, [d.bits for d in gains], "s", style)
        left.set_ylabel(BITS)
        left.margins(x=0.15)
        drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        right.axhline(0, color=LIGHT["other"], linewidth=0.8)
        right.set_xticks(range(len(recipes) - 1), [f"{b}\nafter {a}" for a, b in itertools.pairwise(recipes)])
        right.set_ylabel("bits per byte gained, seed by seed (95 %)")
        right.margins(x=0.3)


def draw_gains(
    path: Path,
    points: Sequence[Point],
    cells: Sequence[Mean],
    found: Sequence[Difference],
    baseline: str,
    title: str,
) -> None:
    """A row per recipe. Left: each seed, and their mean with its 95 % interval. Right: the gain over the baseline."""
    recipes = list(dict.fromkeys(c.recipe for c in cells))
    with _figure(path, title, _order_said(cells), width=10, height=1.5 + 0.35 * len(recipes)) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True)
        for index, (scale, tokens) in enumerate(dict.fromkeys((c.scale, c.tokens) for c in cells)):
            style = {"color": _color(index), "label": f"{scale}, {tokens:,} tokens"}
            row = {recipe: place + 0.2 * index for place, recipe in enumerate(recipes)}
            seeds = [(p.bits_per_byte, row[p.recipe]) for p in points if (p.scale, p.tokens) == (scale, tokens)]
            left.plot(*zip(*seeds, strict=True), "o", color=_color(index), alpha=0.35, markersize=3)
            means = [c for c in cells if (c.scale, c.tokens) == (scale, tokens)]
            _error_bars(left, [row[c.recipe] for c in means], [c.bits for c in means], "s", style, across=True)
            gains = [d for d in found if (d.scale, d.tokens) == (scale, tokens)]
            _error_bars(right, [row[d.better] for d in gains], [d.bits for d in gains], "s", style, across=True)
        left.set_yticks(range(len(recipes)), recipes)
        left.invert_yaxis()
        left.set_xlabel(f"{BITS} (95 %)")
        right.axvline(0, color=LIGHT["other"], linewidth=0.8)
        right.set_xlabel(f"bits per byte gained over {baseline}, seed by seed (95 %)")
        drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def draw_rates(path: Path, points: Sequence[Point], title: str) -> None:
    """Bits per byte by multiple of the learning rate: a line per recipe, a panel per scale, budget and weight decay."""
    panels = list(dict.fromkeys((p.scale, p.tokens, p.weight_decay) for p in points))
    with _figure(path, title, _rates_said(points), width=max(6, 4 * len(panels))) as drawn:
        for place, (scale, tokens, decay) in enumerate(panels, 1):
            axes = drawn.add_subplot(1, len(panels), place)
            here = [p for p in points if (p.scale, p.tokens, p.weight_decay) == (scale, tokens, decay)]
            rates = sorted({p.learning_rate for p in here})
            for index, recipe in enumerate(dict.fromkeys(p.recipe for p in here)):
                groups = [[p.bits_per_byte for p in here if (p.recipe, p.learning_rate) == (recipe, r)] for r in rates]
                shift = [rate * 1.03**index for rate in rates]  # error bars next to each other
                _error_bars(axes, shift, [estimate(g) for g in groups], "o-", {"color": _color(index), "label": recipe})
            axes.set_xscale("log")
            axes.set_xticks(rates, [f"×{rate:g}" for rate in rates])
            axes.set_xticks([], minor=True)
            axes.set_xlabel("learning rate, relative to the scale's own")
            axes.set_ylabel(BITS)
            axes.set_title(f"{scale}, {tokens:,} tokens, weight decay ×{decay:g}", fontsize="medium")
            axes.legend(frameon=False)


def draw_power_law(path: Path, cells: Sequence[Mean], law: PowerLaw, title: str) -> None:
    """Loss by tokens, both logarithmic: measurements of each scale as a line, the fit dashed."""
    with _figure(path, title, _law_said(cells, law), width=7) as drawn:
        axes = drawn.add_subplot()
        for index, scale in enumerate(dict.fromkeys(c.scale for c in cells)):
            chosen = sorted((c for c in cells if c.scale == scale), key=lambda c: c.tokens)
            tokens = [c.tokens for c in chosen]
            style = {"color": _color(index), "label": f"{scale}: {chosen[0].parameters:,} parameters"}
            _error_bars(axes, tokens, [c.bits for c in chosen], "o-", style)
            line = np.geomspace(tokens[0], tokens[-1], 20)
            axes.plot(
                line, [law.predict(chosen[0].parameters, t) for t in line], "--", color=_color(index), linewidth=1
            )
        axes.plot(
            [], [], "--", color=LIGHT["other"], label=f"fit: L ∝ N^-{law.size.value:.3f} · D^-{law.data.value:.3f}"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        budgets = sorted({c.tokens for c in cells})
        axes.set_xticks(budgets, [f"{t:,}" for t in budgets])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:.2f}")
        axes.yaxis.set_minor_formatter("{x:.2f}")
        axes.set_xlabel("training tokens")
        axes.set_ylabel(BITS)
        axes.legend(frameon=False)


def draw_share(path: Path, points: Sequence[Point], fit: ShareFit, title: str) -> None:
    """Left: loss by the share that was kept, the fit dashed. Right: the best share by compute, and its interval."""
    with _figure(path, title, _share_said(fit), width=10) as drawn:
        left, right = drawn.subplots(1, 2)
        for index, cell in enumerate(fit.cells):
            here = [
                p for p in points if base_name(p) == fit.recipe and (p.scale, p.tokens) == (cell.scale, cell.tokens)
            ]
            groups = [[p.bits_per_byte for p in here if p.share_kept == share] for share in fit.shares]
            label = f"{cell.scale}, {cell.tokens:,} tokens, {cell.passes:.2g} passes"
            style = {"color": _color(index), "label": label, "linestyle": "none"}
            _error_bars(left, fit.shares, [estimate(g) for g in groups], "o", style)
            line = np.geomspace(fit.shares[0], fit.shares[-1], 40)
            left.plot(line, [fit.predict(cell, share) for share in line], "--", color=_color(index), linewidth=1)
            if cell.fitted is not None and cell.low is not None and cell.high is not None:
                left.plot([cell.fitted], [fit.predict(cell, cell.fitted)], "v", color=_color(index), markersize=8)
                reach = [[max(0.0, cell.fitted - cell.low)], [max(0.0, cell.high - cell.fitted)]]
                right.errorbar([cell.compute], [cell.fitted], yerr=reach, fmt="v", color=_color(index), capsize=4)
        for axes, name in ((left, "share of the documents that is kept"), (right, "training FLOPs (6 · N · D)")):
            axes.set_xscale("log")
            axes.set_xlabel(name)
        left.set_xticks(fit.shares, [f"{share:g}" for share in fit.shares])
        left.set_xticks([], minor=True)
        left.set_ylabel(BITS)
        right.set_yscale("log")
        right.set_yticks(fit.shares, [f"{share:g}" for share in fit.shares])
        right.set_yticks([], minor=True)
        right.set_ylabel("best share by the fit (95 %)")
        drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def _error_bars(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[IntervalEstimate],
    marker: str,
    style: dict[str, Any],
    across: bool = False,
) -> None:
    """Values with their 95 % intervals, if they have any; `across`: along the x axis."""
    reach = [0.0 if v.high is None else v.high - v.value for v in values]
    shared: dict[str, Any] = {"fmt": marker, "markersize": 5, "capsize": 4, **style}
    if across:
        axes.errorbar([v.value for v in values], places, xerr=reach, **shared)
    else:
        axes.errorbar(places, [v.value for v in values], yerr=reach, **shared)


def _color(index: int) -> str:
    return LIGHT[SERIES[index % len(SERIES)]]


def _order_said(cells: Sequence[Mean]) -> str:
    found = "; ".join(f"{c.recipe}, {c.scale}, {c.tokens:,} tokens: {c.bits.value:.4f}" for c in cells)
    return f"Mean {BITS} by recipe. {found}."


def _rates_said(points: Sequence[Point]) -> str:
    rates = ", ".join(f"×{rate:g}" for rate in sorted({p.learning_rate for p in points}))
    recipes = ", ".join(dict.fromkeys(p.recipe for p in points))
    return f"{BITS.capitalize()} of {recipes} at learning rates {rates}."


def _law_said(cells: Sequence[Mean], law: PowerLaw) -> str:
    found = "; ".join(f"{c.scale}, {c.tokens:,} tokens: {c.bits.value:.4f}" for c in cells)
    return f"{BITS.capitalize()} falls as N^-{law.size.value:.3f} · D^-{law.data.value:.3f}. {found}."


def _share_said(fit: ShareFit) -> str:
    best = [f"{c.scale}, {c.tokens:,} tokens: {c.fitted:.3g}" for c in fit.cells if c.fitted is not None]
    found = "; ".join(best) or "no cell has a lowest point"
    return (
        f"{BITS.capitalize()} by the share of documents of {fit.recipe} that is kept. Best share by the fit: {found}."
    )


@contextmanager
def _figure(path: Path, title: str, description: str, width: float, height: float = 4) -> Iterator[Figure]:
    with figure(path, title, description, width, height) as drawn:
        drawn.suptitle(title, parse_math=False)
        yield drawn
