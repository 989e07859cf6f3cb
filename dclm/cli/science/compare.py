"""`dclm compare`: compare the scores of two recipes item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, put_result
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.eval.statistics.compare import Comparison
    from dclm.eval.statistics.difference import Difference
    from dclm.eval.statistics.power import Needed


class _SeveralAfterAgainst(click.Command):
    """Assigns all paths after `--against` to that option, as a shell's glob passes them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--against" in args:
            at = args.index("--against") + 1
            paths = list(takewhile(lambda word: not word.startswith("-"), args[at:]))
            several = [word for path in paths for word in ("--against", path)]
            args = args[: at - 1] + (several or ["--against"]) + args[at + len(paths) :]
        return super().parse_args(ctx, args)


@click.command(cls=_SeveralAfterAgainst)
@click.argument("scores", nargs=-1, required=True, metavar="A... [B]", type=LOCAL_PATH)
@click.option("--against", multiple=True, metavar="B...", type=LOCAL_PATH, help="Runs of B.")
@click.option("--plot", type=LOCAL_PATH, help="Write a forest plot: FILE.svg, .png or .pdf.")
@click.option(
    "--metric",
    type=click.Choice(["accuracy", "bits_per_byte", "probability", "margin", "brier"]),
    default="accuracy",
    show_default=True,
    help="Score of the tasks in table and plot. JSON has all scores.",
)
@click.option(
    "--power",
    type=float,
    metavar="DIFFERENCE",
    help="Show how many items or seeds are needed to detect a true difference of this size.",
)
@force_option
def compare(
    scores: tuple[Path, ...],
    against: tuple[Path, ...],
    plot: Path | None,
    metric: str,
    power: float | None,
    force: bool,
) -> None:
    """Show how much better the scores of B are than those of A, with confidence intervals (paired, item by item).

    `dclm compare A B` compares two models. `dclm compare A1 A2 A3 --against B1 B2 B3` compares two recipes with several
    seeds each; the intervals are then valid for the recipes. A and B are outputs of `dclm evaluate` or `dclm run`.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.eval.statistics.compare import compare as run

    if not against:
        if len(scores) != 2:
            raise ConfigError(
                "compare",
                f"found {len(scores)} paths, allowed: two, or more with --against",
                "dclm compare A1 A2 --against B1 B2",
            )
        scores, against = scores[:1], scores[1:]
    if plot is not None:
        claim_file(plot, [*scores, *against], force=force)
    found = run(scores, against)
    if plot is not None:
        from dclm.eval.plot import draw_forest

        draw_forest(plot, found, _name(scores), _name(against), None if metric == "accuracy" else metric)
    takes = {} if power is None else _power(found, metric, power)
    table = _table(found, metric) + ("" if power is None else f"\n{_power_table(takes, power, found.num_runs)}")
    put_result({**found.to_json(), "power": None if power is None else takes}, table)


def _power(found: Comparison, metric: str, difference: float) -> dict[str, Needed]:
    """What is needed to detect `difference`: in the means, and in `metric` on each task."""
    from dclm.eval.statistics.power import needed

    everything = sum(found.items.values())
    scores = {name: (mean, everything) for name, mean in found.means.items()}
    if found.core_bpb is not None:
        scores["CORE, bits per byte"] = (found.core_bpb, everything)
    for label, task in found.tasks.items():
        each = task.difference if metric == "accuracy" else found.continuous.get(label, {}).get(metric)
        if each is not None:
            scores[label] = (each, found.items[label])
    return {
        name: needed(each, difference, num_items=items, num_runs=found.num_runs)
        for name, (each, items) in scores.items()
    }


def _power_table(takes: Mapping[str, Needed], difference: float, num_runs: tuple[int, int]) -> str:
    head = f"to detect a true difference of {difference:g}, at 95 % confidence and four times out of five:"
    seeds = f"seeds of each, same items (now {num_runs[0]} and {num_runs[1]})"
    lines = ["", head, f"{'':36}{'items, same seeds':>20}{seeds:>42}"]
    for name, each in takes.items():
        items, runs = ("—" if n is None else f"{n:,}" for n in (each.items, each.seeds))
        lines.append(f"{name:36}{items:>20}{runs:>42}{'' if each.reason is None else f'  {each.reason}'}")
    return "\n".join(lines)


def _name(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _table(found: Comparison, metric: str) -> str:
    head = (
        f"{'B minus A':36}{'difference':>11}{'95 % from':>11}{'to':>9}{'P(B better)':>13}{'detectable':>12}{'adds':>9}"
    )
    lines = [head]
    lines += [_row(label, mean) for label, mean in found.means.items()]
    if found.core_bpb is not None:
        lines.append(_row("CORE, bits per byte (lower is better)", found.core_bpb, less=True))
    lines += _task_lines(found, metric)
    for name, text in found.texts.items():
        lines.append(_row(f"bits per byte, {name} (lower is better)", text, less=True))
    headline = next(iter([*found.means.values(), *found.texts.values()]))
    if headline.seed_error is None:
        lines.append("one run of each: the intervals are valid for these two models; another seed would change both")
    else:
        lines.append(
            f"{found.num_runs[0]} and {found.num_runs[1]} runs: of the error {_number(headline.standard_error)},"
            f" {_number(headline.item_error)} comes from items and {headline.seed_error:.4f} from seeds"
        )
    if found.limited:
        rows = " and ".join(map(str, found.limited))
        lines.append(f"limited to the first {rows} rows of each task: not comparable with benchmark scores")
    if found.not_common:
        lines.append(f"not in all runs: {', '.join(found.not_common)}")
    return "\n".join(lines)


def _task_lines(found: Comparison, metric: str) -> list[str]:
    from dclm.eval.statistics.continuous import METRICS

    if metric == "accuracy":
        return [f"{_row(label, task.difference)}{task.adds:+9.4f}" for label, task in found.tasks.items()]
    about = METRICS[metric]
    rows = [
        _row(label, each[metric], less=about.less_is_better)
        for label, each in found.continuous.items()
        if metric in each
    ]
    better = " (lower is better)" if about.less_is_better else ""
    return [f"{about.title}{better}:", *(rows or ["the same items do not have it in all runs"])]


def _row(label: str, d: Difference, less: bool = False) -> str:
    better = None if d.probability is None else 1.0 - d.probability if less else d.probability
    return (
        f"{label:36}{d.value:+11.4f}{_number(d.low, '+.4f'):>11}{_number(d.high, '+.4f'):>9}"
        f"{_number(better, '.3f'):>13}{_number(d.detectable):>12}"
    )


def _number(value: float | None, form: str = ".4f") -> str:
    """A dash for what cannot be computed from the items."""
    return "—" if value is None else format(value, form)
