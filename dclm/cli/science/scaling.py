"""`dclm scaling`: scores as a function of compute, and compute multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, plain, put_result
from dclm.cli.shared.output import as_value
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.science.scaling.fit import Scaling
    from dclm.science.scaling.pairs import Projection

_WIDTH = 58
_PATH = LOCAL_PATH


@click.command()
@click.option("--baseline", required=True, metavar="NAME", help="Corpus or recipe to compare the others with.")
@click.option("--points", type=_PATH, help="points.json of `dclm experiment`: bits per byte over FLOPs.")
@click.option(
    "--records",
    multiple=True,
    type=_PATH,
    help="Table of runs with the columns of evals.csv; can be repeated. Default: results/evals.csv in DCLM_SHARED.",
)
@click.option("--metric", default="core", show_default=True, help="`core`, or a task of CORE (centered accuracy).")
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    metavar="NAME",
    help="Corpus to take from the records. Default: all that were run at three or more compute budgets.",
)
@click.option("--hold-out", is_flag=True, help="Predict the largest runs from the smaller ones, and compare.")
@click.option(
    "--at",
    "at_flops",
    type=click.FloatRange(0, min_open=True),
    metavar="FLOPS",
    help="For each pair of corpora, predict which is better at this much compute.",
)
@click.option("--plot", type=_PATH, help="Write the chart to this SVG file.")
@force_option
def scaling(
    baseline: str,
    points: Path | None,
    records: tuple[Path, ...],
    metric: str,
    corpora: tuple[str, ...],
    hold_out: bool,
    at_flops: float | None,
    plot: Path | None,
    force: bool,
) -> None:
    """Fit scores as a function of compute, and give each corpus's compute multiplier over a baseline.

    The multiplier is the factor of FLOPs that the baseline needs for the same score. Values beyond the compute of the
    baseline's runs are marked as extrapolated. How it works: docs/predict.md.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.science.predict.records import distinct, find_published, read_table
    from dclm.science.scaling.draw import draw_scaling
    from dclm.science.scaling.fit import fit_scaling
    from dclm.science.scaling.pairs import hold_out_largest, project
    from dclm.science.scaling.sources import from_points, from_records

    if points is not None and (records or corpora or metric != "core"):
        raise ConfigError(
            "--points", "found both points and one of records, metric and corpora, allowed: one or the other"
        )
    if plot is not None:
        claim_file(plot, [*filter(None, [points]), *records], force=force)
    if points is not None:
        runs, label = from_points(points), "log10 of bits per byte"
    else:
        table = distinct(run for path in records or (find_published(),) for run in read_table(path))
        runs, label = from_records(table, metric, (*corpora, baseline) if corpora else ()), metric
    found = fit_scaling(runs, baseline)
    held = hold_out_largest(runs) if hold_out else []
    projected = [] if at_flops is None else project(runs, at_flops)
    if plot is not None:
        from dclm.core.storage import write_atomic

        write_atomic(plot, draw_scaling(found, runs, label, f"{label} over compute").encode())
    tables = [_table(found)]
    tables += [_pairs_table(held, "largest runs, A minus B")] if hold_out else []
    tables += [] if at_flops is None else [_pairs_table(projected, f"at {at_flops:.2g} FLOPs, A minus B")]
    put_result({**as_value(found), "held_out": held, "projected": projected}, "\n".join(tables))


def _table(found: Scaling) -> str:
    lines = [
        f"{'corpus':{_WIDTH}}{'runs':>5}{'slope':>9}{'95 % from':>11}{'to':>9}{'R²':>7}{'FLOPs from':>12}{'to':>10}"
    ]
    for line in found.lines:
        numbers = (_or_dash(v, "+.4f") for v in (line.slope, line.slope_low, line.slope_high))
        slope, low, high = numbers
        lines.append(
            f"{_short(line.corpus)}{line.runs:>5}{slope:>9}{low:>11}{high:>9}{_or_dash(line.r2, '.3f'):>7}"
            f"{line.from_flops:>12.1e}{line.to_flops:>10.1e}"
        )
    lines += [
        "",
        f"common slope {found.slope:+.4f} per tenfold FLOPs (95 % {found.slope_low:+.4f} to {found.slope_high:+.4f}), "
        f"R² {found.r2:.3f}; slopes equal: p = {_or_dash(found.p_slopes_equal, '.3f')}",
        "",
        f"{'against ' + plain(found.baseline)[:40]:{_WIDTH}}{'×':>8}{'95 % from':>11}{'to':>9}{'at FLOPs':>11}",
    ]
    for m in found.multipliers:
        note = "  extrapolated" if m.extrapolated else ""
        lines.append(
            f"{_short(m.corpus)}{_or_dash(m.value, '.2f'):>8}{_or_dash(m.low, '.2f'):>11}{_or_dash(m.high, '.2f'):>9}"
            f"{m.at_flops:>11.1e}{note}"
        )
    return "\n".join(lines)


def _pairs_table(found: Sequence[Projection], title: str) -> str:
    if not found:
        return f"\n{title}: found too few runs of the same seed and compute to predict them from"
    lines = ["", f"{title:{_WIDTH}}{'predicted':>10}{'95 % from':>11}{'to':>9}{'P(A>B)':>8}{'measured':>10}"]
    for p in found:
        told = p.verdict if p.held is None else f"{p.verdict}; {'held' if p.held else 'did not hold'}"
        lines.append(
            f"{_short(f'{p.a} − {p.b}')}{p.difference:>+10.4f}{p.low:>+11.4f}{p.high:>+9.4f}{p.p_a_above:>8.3f}"
            f"{_or_dash(p.measured, '+.4f'):>10}  {told}{', extrapolated' if p.extrapolated else ''}"
        )
    return "\n".join(lines)


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _short(name: str) -> str:
    name = plain(name)
    return f"{name if len(name) < _WIDTH else name[: _WIDTH - 22] + '…' + name[-20:]:{_WIDTH}}"
