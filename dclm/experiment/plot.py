"""The pictures of an experiment, as SVG with the same bytes for the same points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dclm.experiment.run import Point
from dclm.experiment.statistics import Mean, PowerLaw
from dclm.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = "held-out text, bits a byte"


def draw_order(path: Path, points: Sequence[Point], cells: Sequence[Mean], title: str) -> None:
    """Recipes from left to right: seeds as dots, each joined by a line, and means with intervals."""
    recipes = list(dict.fromkeys(p.recipe for p in points))
    settings = list(dict.fromkeys((c.scale, c.tokens) for c in cells))

    def draw(axes: Axes) -> None:
        for index, (scale, tokens) in enumerate(settings):
            color = f"C{index}"
            here = [p for p in points if (p.scale, p.tokens) == (scale, tokens)]
            for seed in dict.fromkeys(p.seed for p in here):
                line = [p.bits_per_byte for p in here if p.seed == seed]
                axes.plot(range(len(recipes)), line, "o-", color=color, alpha=0.3, markersize=4, linewidth=0.8)
            chosen = [c for c in cells if (c.scale, c.tokens) == (scale, tokens)]
            label = f"{scale}, {tokens:,} tokens: mean and 95 % interval"
            places = [p + 0.06 for p in range(len(recipes))]
            axes.errorbar(places, [c.bits.value for c in chosen], yerr=_reach(chosen), fmt="s", color=color,
                          capsize=4, label=label)  # fmt: skip
        axes.set_xticks(range(len(recipes)), recipes)
        axes.margins(x=0.15)

    _save(path, draw, title)


def draw_power_law(path: Path, cells: Sequence[Mean], law: PowerLaw, title: str) -> None:
    """Loss by tokens, both logarithmic: a line of measurements for each scale, dashed what the plane says."""

    def draw(axes: Axes) -> None:
        for index, scale in enumerate(dict.fromkeys(c.scale for c in cells)):
            chosen = sorted((c for c in cells if c.scale == scale), key=lambda c: c.tokens)
            tokens = [c.tokens for c in chosen]
            label = f"{scale}: {chosen[0].parameters:,} parameters"
            axes.errorbar(tokens, [c.bits.value for c in chosen], yerr=_reach(chosen), fmt="o-", color=f"C{index}",
                          capsize=4, label=label)  # fmt: skip
            grid = np.geomspace(tokens[0], tokens[-1], 20)
            axes.plot(grid, [law.predict(chosen[0].parameters, t) for t in grid], "--", color=f"C{index}", linewidth=1)
        axes.plot([], [], "--", color="gray", label=f"L ∝ N^-{law.size.value:.3f} · D^-{law.data.value:.3f}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("training tokens")
        budgets = sorted({c.tokens for c in cells})
        axes.set_xticks(budgets, [f"{t:,}" for t in budgets])
        axes.yaxis.set_major_formatter("{x:.2f}")
        axes.yaxis.set_minor_formatter("{x:.2f}")

    _save(path, draw, title)


def _reach(cells: Sequence[Mean]) -> list[float]:
    return [0.0 if c.bits.high is None else c.bits.high - c.bits.value for c in cells]


def _save(path: Path, draw: Callable[[Axes], None], title: str) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "dclm"}):  # the same bytes for the same points
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set_ylabel(LABEL)
        axes.set_title(title)
        axes.legend(frameon=False)
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
