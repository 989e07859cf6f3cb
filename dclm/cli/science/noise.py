"""`dclm noise`: how much the scores of each task vary, and which tasks distinguish corpora."""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import plain, put_result
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.eval.statistics.noise import Noise, NoiseReport

_TASKS = 12
"""Maximum number of tasks listed for a pair of corpora."""


@click.command()
@click.argument("corpora", nargs=-1, required=True, metavar="NAME=RUN[,RUN...]...")
@click.option(
    "--checkpoints",
    multiple=True,
    metavar="SCORES,SCORES...",
    help="Scores of the last checkpoints of one run; repeatable.",
)
@click.option(
    "--metric",
    type=click.Choice(["accuracy", "bits_per_byte", "probability", "margin", "brier"]),
    default="accuracy",
    show_default=True,
    help="Score in the table. JSON has all scores.",
)
def noise(corpora: tuple[str, ...], checkpoints: tuple[str, ...], metric: str) -> None:
    """Measure how much each task's scores vary, and which tasks can distinguish the corpora.

    Each corpus is given as NAME=RUN,RUN,... with one run per seed. A run is an output of `dclm evaluate` or `dclm run`;
    patterns such as `raw=out/raw-*` are allowed. What the columns mean: docs/scores.md.
    """
    from dclm.eval.statistics.noise import measure_noise

    named: dict[str, list[Path]] = {}
    for corpus in corpora:
        name, sign, paths = corpus.partition("=")
        if not sign or not name or name in named:
            raise ConfigError(f"corpus {corpus}", "allowed: NAME=RUN,RUN,... with different names")
        named[name] = _paths(paths)
    found = measure_noise(named, [_paths(text) for text in checkpoints])
    put_result(found.to_json(), lambda: _table(found, metric))


def _paths(text: str) -> list[Path]:
    out = []
    for pattern in filter(None, text.split(",")):
        matched = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not matched:
            raise ConfigError(pattern, "no file or directory matches the pattern")
        out += [Path(name) for name in matched]
    if not out:
        raise ConfigError("runs", f"found none in {text!r}, allowed: paths separated by commas")
    return out


def _table(found: NoiseReport, metric: str) -> str:
    runs = ", ".join(f"{plain(name)} ({count})" for name, count in found.corpora.items())
    lines = [
        f"corpora (runs): {runs}",
        f"{metric:36}{'mean':>9}{'sampling':>10}{'seeds':>9}{'checkp.':>9}{'signal':>9}{'ratio':>7}{'apart':>8}",
    ]
    lines += [_row(name, each) for name, each in found.means.items()]
    rows = {label: by_metric[metric] for label, by_metric in found.tasks.items() if metric in by_metric}
    ordered = sorted(rows.items(), key=lambda entry: -(entry[1].ratio or 0.0))
    lines += [_row(label, each) for label, each in ordered] or ["no task has it in all runs on the same items"]
    lines += ["", "distinguished with 95 % confidence (for equal corpora, one pair in twenty by chance):"]
    lines += _pairs({**found.means, **rows}) or ["no pair, by any score"]
    if found.limited:
        many = " and ".join(map(str, found.limited))
        lines.append(f"limited to the first {many} rows of each task: full tasks have smaller sampling errors")
    return "\n".join(lines)


def _row(label: str, each: Noise) -> str:
    numbers = "".join(f"{_number(v):>9}" for v in (each.seeds, each.checkpoints, each.signal))
    ratio = "—" if each.ratio is None else f"{each.ratio:.1f}"
    apart = f"{len(each.told_apart)}/{each.pairs}"
    return f"{label:36}{each.mean:9.4f}{_number(each.sampling):>10}{numbers}{ratio:>7}{apart:>8}"


def _pairs(scores: Mapping[str, Noise]) -> list[str]:
    """For each pair of corpora, the scores that distinguish them, and in which order."""
    by_pair: dict[tuple[str, str], list[str]] = defaultdict(list)
    for label, each in scores.items():
        for pair in each.told_apart:
            by_pair[pair].append(label)
    return [
        f"{plain(better)} over {plain(worse)}: {', '.join(labels[:_TASKS])}"
        f"{f' and {len(labels) - _TASKS} more' if len(labels) > _TASKS else ''}"
        for (better, worse), labels in by_pair.items()
    ]


def _number(value: float | None) -> str:
    """A dash for what cannot be estimated."""
    return "—" if value is None else f"{value:.4f}"
