"""The loss curve of a run as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dclm.charts.figure import figure
from dclm.charts.palette import LIGHT, SERIES
from dclm.train.output.metrics import StepMetrics, smoothed_updates


def draw_loss(path: Path, metrics: Sequence[StepMetrics], title: str, lines: dict[str, float]) -> None:
    """Write an SVG: loss by tokens, faint for raw values and bold for smoothed ones, with horizontal `lines` (label →
    nats)."""
    tokens = [m.tokens for m in metrics]
    losses = np.array([m.loss for m in metrics])
    last = losses[-smoothed_updates(len(losses)) :].mean()
    levels = "".join(f"; {label}: {value:.3f}" for label, value in lines.items())
    said = (
        f"Loss in nats per token over {tokens[-1]:,} tokens: {losses[0]:.3f} at first, {last:.3f} at the end{levels}."
    )
    with figure(path, title, said, width=7, height=4) as drawn:
        axes = drawn.add_subplot()
        axes.plot(tokens, losses, color=LIGHT["other"], linewidth=0.7, alpha=0.6)
        axes.plot(
            tokens, smooth(losses), color=LIGHT["accent"], linewidth=1.6, label=f"training loss, final {last:.3f}"
        )
        for index, (label, value) in enumerate(lines.items(), 1):
            color = LIGHT[SERIES[index % len(SERIES)]]
            axes.axhline(value, color=color, linestyle="--", linewidth=1, label=f"{label} {value:.3f}")
        axes.set_xlabel("tokens")
        axes.set_ylabel("loss (nats per token)")
        axes.set_title(title, parse_math=False)
        axes.legend(frameon=False)


def smooth(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The loss without its noise, and without lag: a mean over a window around each update, a line at both ends.

    A mean of past updates only would show a falling loss later than it fell. A Savitzky-Golay filter of degree 1.
    """
    from scipy.signal import savgol_filter

    width = 2 * (smoothed_updates(len(losses)) // 2) + 1
    smoothed: npt.NDArray[np.float64] = savgol_filter(losses, width, polyorder=1) if width > 1 else losses
    return smoothed
