"""The results of an experiment as files: points.json, report.md and the charts that fit the grid."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dclm.core.storage import write_atomic
from dclm.science.experiment.held_out import NGRAM, Overlap
from dclm.science.experiment.plot import draw_gains, draw_order, draw_power_law, draw_rates, draw_share
from dclm.science.experiment.robustness import Robustness, robustness
from dclm.science.experiment.run import ExperimentOutcome
from dclm.science.experiment.share import ShareFit, fit_share
from dclm.science.experiment.spec import Experiment
from dclm.science.experiment.statistics import (
    Difference,
    IntervalEstimate,
    Mean,
    PowerLaw,
    agreement,
    differences,
    fit_power_law,
    means,
)


def write_report(experiment: Experiment, outcome: ExperimentOutcome, out: Path) -> str:
    """Write all files to `out`; returns the text of report.md."""
    name, baseline = experiment.name, experiment.baseline
    own = [p for p in outcome.points if (p.learning_rate, p.weight_decay) == (1.0, 1.0)] or list(outcome.points)
    cells = means(own)
    recipes = list(dict.fromkeys(c.recipe for c in cells))
    laws = [law for r in recipes if (law := fit_power_law([c for c in cells if c.recipe == r])) is not None]
    ordered = differences(own, baseline)
    robust = robustness(outcome.points)
    filters = fit_share(own)
    text = "\n".join(
        [
            f"# {name}\n",
            *_means(cells, experiment),
            *_agreement(cells, experiment),
            *_differences(ordered),
            *_robustness(robust),
            *_laws(laws),
            *(line for fit in filters for line in _shares(fit)),
            *_overlaps(outcome.overlaps),
        ]
    )
    write_atomic(out / "points.json", (json.dumps(dataclasses.asdict(outcome), indent=1) + "\n").encode())
    if baseline is not None:
        draw_gains(out / "gains.svg", own, cells, ordered, baseline, name)
    elif len(recipes) > 1:
        draw_order(out / "order.svg", own, cells, ordered, name)
    if robust:
        draw_rates(out / "rates.svg", outcome.points, name)
    for fit in filters:
        several = len(filters) > 1
        draw_share(out / (f"share-{fit.recipe}.svg" if several else "share.svg"), own, fit, f"{name}: {fit.recipe}")
    for law in laws:
        picture = out / ("curve.svg" if len(recipes) == 1 else f"curve-{law.recipe}.svg")
        draw_power_law(picture, [c for c in cells if c.recipe == law.recipe], law, f"{name}: {law.recipe}")
    write_atomic(out / "report.md", (text + "\n").encode())
    return text


def _means(cells: Sequence[Mean], experiment: Experiment) -> Iterator[str]:
    titles = ["recipe", "scale", "parameters", "tokens", "read before", "seeds", "bits per byte", "standard error",
              "95 % from", "to"]  # fmt: skip
    published = experiment.published
    titles += [experiment.published_as] if published else []
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for c in cells:
        yield (
            f"| {c.recipe} | {c.scale} | {c.parameters:,} | {c.tokens:,} | {c.repeated:.1%} | {c.seeds} "
            f"| {c.bits.value:.4f} | {_or_dash(c.bits.standard_error)} "
            f"| {_or_dash(c.bits.low)} | {_or_dash(c.bits.high)} |"
            + (f" {_or_dash(published.get(c.recipe))} |" if published else "")
        )


def _agreement(cells: Sequence[Mean], experiment: Experiment) -> Iterator[str]:
    """How far the order of the recipes is the published one."""
    for scale, tokens in dict.fromkeys((c.scale, c.tokens) for c in cells):
        here = [c for c in cells if (c.scale, c.tokens) == (scale, tokens)]
        found = agreement(here, experiment.published)
        if found is not None:
            yield f"\nRank correlation with {experiment.published_as} at {scale}, {tokens:,} tokens: {found:+.2f}."


def _differences(found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        return
    yield "\nHow much lower the second is than the first, seed by seed (bits per byte):\n"
    yield "| comparison | scale | tokens | each seed | mean | 95 % from | to | verdict |"
    yield "|---|---|---|---|---|---|---|---|"
    for d in found:
        each = " ".join(f"{value:+.4f}" for value in d.each)
        yield (
            f"| {d.worse} → {d.better} | {d.scale} | {d.tokens:,} | {each} | {d.bits.value:+.4f} "
            f"| {_or_dash(d.bits.low)} | {_or_dash(d.bits.high)} | {d.verdict} |"
        )


def _robustness(found: Sequence[Robustness]) -> Iterator[str]:
    if not found:
        return
    yield "\nIs the order the same at other learning rates and weight decays? Gain of the second over the first at each"
    yield "(bits per byte, mean over seeds):\n"
    rates = [(gain.learning_rate, gain.weight_decay) for gain in found[0].gains]
    heads = [f"rate ×{rate:g}, decay ×{decay:g}" for rate, decay in rates]
    yield f"| comparison | scale | tokens | {' | '.join(heads)} | verdict |"
    yield "|---" * (4 + len(heads)) + "|"
    for r in found:
        gains = " | ".join(f"{g.bits.value:+.4f} ({_or_dash(g.bits.low)} to {_or_dash(g.bits.high)})" for g in r.gains)
        yield f"| {r.worse} → {r.better} | {r.scale} | {r.tokens:,} | {gains} | {r.verdict} |"


def _laws(laws: Sequence[PowerLaw]) -> Iterator[str]:
    for law in laws:
        yield f"\n{law.recipe}: L ∝ N^-a · D^-b inside this grid, with a = {_range(law.size)}, b = {_range(law.data)};"
        yield f"standard deviation about the fit {law.residual:.2%}."
        if law.largest_predicted is not None:
            error = law.largest_predicted / law.largest_measured - 1
            yield (
                f"Largest cell: measured {law.largest_measured:.4f}, predicted from the others "
                f"{law.largest_predicted:.4f} ({error:+.2%})."
            )


def _shares(fit: ShareFit) -> Iterator[str]:
    yield f"\nHow hard to filter {fit.recipe} (standard deviation about the fit {fit.residual:.2%}):\n"
    yield "| scale | tokens | FLOPs | passes over the pool | best share that was run | by the fit | 95 % from | to |"
    yield "|---" * 8 + "|"
    for c in fit.cells:
        yield (
            f"| {c.scale} | {c.tokens:,} | {c.compute:.2g} | {c.passes:.2f} | {c.measured:g} | {_or_dash(c.fitted)} "
            f"| {_or_dash(c.low)} | {_or_dash(c.high)} |"
        )
    if fit.by_compute is None or fit.by_passes is None:
        yield "\nThe fit has no lowest point between these shares: the best one is at an end, or not decided."
        return
    for what, (value, low, high) in (("compute", fit.by_compute), ("passes over the pool", fit.by_passes)):
        verdict = "grows" if low > 0 else "shrinks" if high < 0 else "not decided"
        yield (
            f"\nThe best share is in proportion to {what} to the power {value:+.3f} "
            f"(95 % {low:+.3f} to {high:+.3f}): {verdict}."
        )


def _overlaps(overlaps: Mapping[str, Overlap]) -> Iterator[str]:
    yield f"\nTraining documents that share {NGRAM} consecutive words with the held-out text:"
    for recipe, found in overlaps.items():
        yield f"- {recipe}: {found.shared:,} of {found.documents:,}"


def _range(value: IntervalEstimate) -> str:
    return f"{value.value:.4f} (95 % {_or_dash(value.low)} to {_or_dash(value.high)})"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
