"""The loss curve of a run as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dclm.core.storage import atomic_file
from dclm.train.metrics import StepMetrics, smoothed_updates


def draw_loss(path: Path, metrics: Sequence[StepMetrics], title: str, lines: dict[str, float]) -> None:
    """Write an SVG: loss by tokens, faint for raw values and bold for smoothed ones, with horizontal `lines` (label →
    nats)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    tokens = [m.tokens for m in metrics]
    losses = [m.loss for m in metrics]
    smooth = _smooth(losses)
    with mpl.rc_context({"svg.hashsalt": "dclm"}):  # the same bytes for the same run
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.plot(tokens, losses, color="#9ecae1", linewidth=0.7)
        axes.plot(tokens, smooth, color="#08519c", linewidth=1.6, label=f"training loss, final {smooth[-1]:.3f}")
        for index, (label, value) in enumerate(lines.items()):
            axes.axhline(value, color=f"C{index + 1}", linestyle="--", linewidth=1, label=f"{label} {value:.3f}")
        axes.set_xlabel("tokens")
        axes.set_ylabel("loss (nats per token)")
        axes.set_title(title)
        axes.legend(frameon=False)
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential average, without bias towards zero at the start."""
    out, total, weight = [], 0.0, 0.0
    new = 1 / smoothed_updates(len(values))
    for value in values:
        total = (1 - new) * total + new * value
        weight = (1 - new) * weight + new
        out.append(total / weight)
    return out
