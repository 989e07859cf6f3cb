"""`dclm predict`: predict the ranking of corpora at a large scale from runs at a small one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, plain, put_result, say
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.science.predict.backtest import Backtest
    from dclm.science.predict.design import Designs
    from dclm.science.predict.forecast import Forecast

SCALES = ("400m", "1b", "7b", "7b-2x")
_SHOWN, _CLOSE = 5, 20
"""Maximum number of next runs and open pairs in the table."""
_WIDTH = 58


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT.json...]", type=LOCAL_PATH)
@click.option("--from", "small", type=click.Choice(SCALES[:-1]), required=True, help="Scale of the available runs.")
@click.option("--to", "large", type=click.Choice(SCALES[1:]), required=True, help="Scale to predict.")
@click.option(
    "--records",
    multiple=True,
    type=LOCAL_PATH,
    help="Table of published runs to learn from, with the columns of evals.csv; can be repeated. Default: "
    "results/evals.csv in DCLM_SHARED.",
)
@click.option("--corpus", "corpora", multiple=True, metavar="NAME", help="Corpus from the records to rank.")
@click.option(
    "--backtest", is_flag=True, help="Predict every pair of published corpora, with both left out of the fit."
)
@click.option(
    "--designs",
    type=click.Choice(("used", "equal", "ignored")),
    default="used",
    show_default=True,
    help="Backtest: how token budgets and learning rates are treated. `used`: the mean of each corpus's runs is "
    "predicted, given how they were trained; `equal`: only equally trained runs count; `ignored`: all are averaged.",
)
@click.option("--plot", type=LOCAL_PATH, help="Backtest: write the calibration plot to this SVG file.")
@force_option
def predict(
    results: tuple[Path, ...],
    small: str,
    large: str,
    records: tuple[Path, ...],
    corpora: tuple[str, ...],
    backtest: bool,
    designs: Designs,
    plot: Path | None,
    force: bool,
) -> None:
    """Predict which corpus is better at a large scale, with what certainty, and which run would be most informative.

    Ranks the corpora of the RESULT.json files and those named with --corpus; without either, all corpora in the records
    that were run at the small scale but not at the large one. How it works: docs/predict.md.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.science.predict.backtest import backtest as run_backtest
    from dclm.science.predict.forecast import forecast
    from dclm.science.predict.records import at_scale, distinct, find_published, read_result, read_table

    if SCALES.index(small) >= SCALES.index(large):
        raise ConfigError("--from, --to", f"found {small} and {large}, allowed: a small scale and a larger one")
    runs = distinct(run for path in records or (find_published(),) for run in read_table(path))
    if backtest:
        if results or corpora:
            raise ConfigError(
                "--backtest", "found corpora to rank, allowed: none, because every published pair is tested"
            )
        if plot is not None:
            claim_file(plot, [*results, *records], force=force)
        outcome = run_backtest(runs, small, large, designs)
        if plot is not None:
            from dclm.core.storage import write_atomic
            from dclm.science.predict.draw import draw_calibration

            write_atomic(plot, draw_calibration([(f"{small} → {large}", outcome)]).encode())
        put_result(outcome.to_json(), lambda: _backtest_table(outcome))
        return
    own = [read_result(path) for path in results]
    done = {run.corpus for run in at_scale(runs, large)}
    names = [*(run.corpus for run in own), *corpora] or [
        run.corpus for run in at_scale(runs, small) if run.corpus not in done
    ]
    found = forecast([*runs, *own], small, large, names)
    put_result(found, lambda: _forecast_table(found))
    if all(pair.verdict == "too close to say" for pair in found.pairs):
        say("no pair is decided: see the next runs")


def _backtest_table(found: Backtest) -> str:
    low, high = found.accuracy_interval
    lines = [
        f"{len(found.pairs)} pairs of {found.corpora} corpora, each predicted without both of them",
        f"pairs right  {found.accuracy:.3f}  (95 % over corpora {low:.3f} to {high:.3f})",
        f"Brier score  {found.brier:.4f} (95 % over corpora {found.brier_interval[0]:.4f} to "
        f"{found.brier_interval[1]:.4f}; a coin has 0.25)",
        f"{'stated':>12}{'pairs':>8}{'mean stated':>13}{'came true':>11}",
    ]
    for b in found.bins:
        said, right = ("–" if value is None else f"{value:.3f}" for value in (b.said, b.right))
        lines.append(f"{b.low:>6.2f}–{b.high:<5.2f}{b.pairs:>8}{said:>13}{right:>11}")
    return "\n".join(lines)


def _forecast_table(found: Forecast) -> str:
    lines = [f"CORE at {found.large}, predicted from {found.small}", ""]
    lines.append(f"{'corpus':{_WIDTH}}{'CORE':>8}{'95 % from':>11}{'to':>8}{'P(best)':>9}{'runs':>6}")
    for s in found.order:
        lines.append(f"{_short(s.corpus)}{s.core:8.4f}{s.low:11.4f}{s.high:8.4f}{s.p_best:9.3f}{s.runs:6}")
    place = {s.corpus: i for i, s in enumerate(found.order, 1)}
    close = [p for p in found.pairs if p.verdict == "too close to say"]
    lines += [
        "",
        f"pairs: {len(found.pairs) - len(close)} decided, {len(close)} too close to say (places: P of the first)",
    ]
    for p in sorted(close, key=lambda p: -abs(p.p_a_better - 0.5))[:_CLOSE]:
        turned = place[p.a] > place[p.b]
        said, sign = (1 - p.p_a_better, -1) if turned else (p.p_a_better, 1)
        low, high = sorted((sign * p.low, sign * p.high))
        lines.append(
            f"  {min(place[p.a], place[p.b])} above {max(place[p.a], place[p.b])}: {said:.2f}, "
            f"difference {sign * p.difference:+.4f} ({low:+.4f} to {high:+.4f})"
        )
    if len(close) > _CLOSE:
        lines.append(f"  … and {len(close) - _CLOSE} more (--json lists them all)")
    if found.next_runs:
        lines += ["", f"{'next run':{_WIDTH}}{'scale':>8}{'seed':>6}{'FLOPs':>10}{'bits':>8}{'bits/EFLOP':>12}"]
        for r in found.next_runs[:_SHOWN]:
            lines.append(
                f"{_short(r.corpus)}{r.scale:>8}{r.seed:>6}{r.flops:>10.1e}{r.bits:>8.3f}{r.bits_per_exaflop:>12.2e}"
            )
    return "\n".join(lines)


def _short(name: str) -> str:
    name = plain(name)
    return f"{name if len(name) < _WIDTH else name[: _WIDTH - 22] + '…' + name[-20:]:{_WIDTH}}"
