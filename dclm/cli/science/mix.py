"""`dclm mix`: find the best mixture of sources from proxies trained on many mixtures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import (
    LOCAL_PATH,
    ConsoleProgress,
    cache_option,
    engine_options,
    env_option,
    force_option,
    put_result,
    replace_option,
    say,
    trust_option,
)
from dclm.cli.shared.output import as_value
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    from dclm.science.mix.models import ModelName
    from dclm.science.mix.optimize import Best

_PATH = LOCAL_PATH


@click.group()
def mix() -> None:
    """Find the best mixture of sources with small proxy models. How it works: docs/mix.md."""


@mix.command()
@click.option(
    "--mixtures", multiple=True, required=True, type=_PATH, help="CSV: run, then one column per source with its share."
)
@click.option("--losses", multiple=True, required=True, type=_PATH, help="CSV: run, then one column per loss.")
@click.option("--target", required=True, metavar="COLUMN", help="Column of losses to fit.")
@click.option("--predict", "new", required=True, type=_PATH, help="CSV of mixtures to predict.")
@click.option("--out", required=True, type=_PATH, help="CSV to write: the run, predicted, low, high.")
@click.option("--truth", type=_PATH, help="CSV with the losses of the predicted mixtures, to compare with.")
@click.option("--first", type=click.IntRange(1), help="Use only the first N proxies.")
@click.option(
    "--model",
    type=click.Choice(("log-linear", "log-quadratic", "trees")),
    default="log-linear",
    show_default=True,
    help="`log-linear` extrapolates beyond the proxies; `log-quadratic` does, too, and has a term for every pair of "
    "sources; `trees` (boosted) may be more accurate among them.",
)
@click.option(
    "--resamples",
    type=click.IntRange(2),
    default=50,
    show_default=True,
    help="Number of bootstrap refits for the interval.",
)
@force_option
def fit(
    mixtures: tuple[Path, ...],
    losses: tuple[Path, ...],
    target: str,
    new: Path,
    out: Path,
    truth: Path | None,
    first: int | None,
    model: ModelName,
    resamples: int,
    force: bool,
) -> None:
    """Fit the loss as a function of the mixture, and predict it for other mixtures.

    Tables are joined by their first column. The 95 % interval shows the uncertainty of the fit, for a model of the
    proxies' size; for larger models, only the order of the predictions is meaningful.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.science.mix.models import cross_validated, interval, pairs_right, resampled, spearman
    from dclm.science.mix.models import fit as fit_model
    from dclm.science.mix.table import arrange, join, read_mixtures, read_table, write_table

    claim_file(out, [*mixtures, *losses, new, *filter(None, [truth])], force=force)
    proxies = join(read_mixtures(mixtures), [read_table(path) for path in losses], [target])
    weights, values = proxies.weights[:first], proxies.losses[:first, 0]
    wanted = read_mixtures([new])
    at = arrange(wanted, proxies.sources)
    fitted = fit_model(model, weights, values)
    low, high = interval(resampled(model, weights, values, resamples, fitted), at)
    predicted = fitted.predict(at)
    write_table(out, wanted.first, wanted.names, {"predicted": list(predicted), "low": list(low), "high": list(high)})
    inside = cross_validated(model, weights, values)
    error = float(((inside - values) ** 2).mean() ** 0.5)
    said = f"Spearman {spearman(inside, values):.4f}, error {error:.4f}"
    say(f"{len(values)} proxies, {len(proxies.sources)} sources; cross-validated among the proxies: {said}")
    held = None
    if truth is not None:
        known = join(wanted, [read_table(truth)], [target])
        true = known.losses[:, 0]
        found = fitted.predict(arrange(dataclasses.replace(wanted, values=known.weights), proxies.sources))
        held = {"runs": len(true), "spearman": spearman(found, true), "pairs_right": pairs_right(found, true)}
    result = {
        "proxies": len(values),
        "sources": proxies.sources,
        "spearman": spearman(inside, values),
        "error": error,
        "truth": held,
        "predicted": [
            {"run": name, "predicted": at, "low": least, "high": most}
            for name, at, least, most in zip(wanted.names, predicted, low, high, strict=True)
        ],
    }
    put_result(result, None if held is None else json.dumps(held))


@mix.command()
@click.option(
    "--mixtures", multiple=True, required=True, type=_PATH, help="CSV: run, then one column per source with its share."
)
@click.option("--losses", multiple=True, required=True, type=_PATH, help="CSV: run, then one column per loss.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="COLUMN[=WEIGHT]",
    help="Loss to minimize; repeatable: the weighted sum is minimized. Weights default to 1.",
)
@click.option("--constraints", type=_PATH, help="YAML: budget, max_divergence, and limits per source (docs/mix.md).")
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="SOURCE=PART:SHARE,PART:SHARE",
    help="SOURCE has since been split into parts; runs on it read them in these proportions.",
)
def best(
    mixtures: tuple[Path, ...],
    losses: tuple[Path, ...],
    targets: tuple[str, ...],
    constraints: Path | None,
    splits: tuple[str, ...],
) -> None:
    """Find the mixture with the lowest predicted loss, its gain over the natural mix, and how certain both are.

    A source missing from a table of mixtures counts as unread in its runs, so proxies made before a source was added
    can be reused.
    """
    from dclm.science.mix.constraints import feasible, load_constraints
    from dclm.science.mix.optimize import best_mixture
    from dclm.science.mix.table import join, read_mixtures, read_table

    columns, importance = _targets(targets)
    proxies = join(read_mixtures(mixtures, _splits(splits)), [read_table(path) for path in losses], columns)
    found = best_mixture(proxies, importance, feasible(load_constraints(constraints), proxies.sources))
    put_result({**as_value(found), "proxies": len(proxies.weights)}, lambda: _best_table(found, len(proxies.weights)))


@mix.command()
@click.argument("file", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="Directory for the swarm.")
@click.option("--propose-only", is_flag=True, help="Only write OUT/mixtures.csv; train nothing.")
@env_option
@trust_option
@cache_option
@engine_options
@replace_option
def swarm(
    file: Path,
    out: Path,
    propose_only: bool,
    variables: tuple[str, ...],
    trust: bool,
    cache: str | None,
    on: str,
    workers: int | None,
    force: bool,
) -> None:
    """Draw mixtures of a recipe's sources and train a small proxy on each: OUT/mixtures.csv and OUT/losses.csv.

    FILE names the recipe, the proxies' scale and tokens, their number, and the held-out texts. Finished proxies are
    reused, even if the recipe has gained a source since or FILE asks for more proxies.
    """
    from dclm.engine import open_engine
    from dclm.science.mix.proxies import LOSSES, MIXTURES, train_swarm, write_mixtures
    from dclm.science.mix.swarm import load_swarm

    loaded = load_swarm(file, variables, trust)
    if propose_only:
        proposed = write_mixtures(loaded, out)
        say(f"{len(proposed)} mixtures: {out / MIXTURES}")
        put_result({"mixtures": out / MIXTURES, "losses": None, "sources": loaded.sources}, None)
        return
    with open_engine(on, workers) as engine:
        splits = train_swarm(loaded, out, engine, force=force, cache=cache, make_progress=ConsoleProgress, say=say)
    targets = " ".join(f"--target {name}" for name in (*loaded.held_out, *loaded.swarm.tasks))
    for source, parts in splits.items():
        targets += f" --split {source}=" + ",".join(f"{part}:{share:.4g}" for part, share in parts.items())
    say(f"next: dclm mix best --mixtures {out / MIXTURES} --losses {out / LOSSES} {targets}")
    put_result({"mixtures": out / MIXTURES, "losses": out / LOSSES, "sources": loaded.sources}, None)


def _targets(texts: Sequence[str]) -> tuple[list[str], list[float]]:
    columns, importance = [], []
    for text in texts:
        column, separator, weight = text.rpartition("=")
        columns.append(column if separator else weight)
        importance.append(_number(weight, f"--target {text}") if separator else 1.0)
    return columns, importance


def _splits(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        source, _, parts = text.partition("=")
        pairs = [part.rpartition(":") for part in parts.split(",")]
        if not source or not all(name and separator for name, separator, _ in pairs):
            raise ConfigError(f"--split {text}", "allowed: SOURCE=PART:SHARE,PART:SHARE")
        found[source] = {name: _number(share, f"--split {text}") for name, _, share in pairs}
    return found


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(where, f"found {text!r}, allowed: a positive number")
    return value


def _best_table(found: Best, proxies: int) -> str:
    width = max(len(share.source) for share in found.shares)
    lines = [f"{'source':{width}}{'best':>8}{'from':>8}{'to':>8}{'natural':>9}{'at most':>9}"]
    for s in sorted(found.shares, key=lambda s: -s.best):
        lines.append(f"{s.source:{width}}{s.best:8.3f}{s.low:8.3f}{s.high:8.3f}{s.natural:9.3f}{s.largest:9.3f}")
    verdict = "decided" if found.decided else "not decided: the natural mix may be as good"
    lines += [
        "(from, to: 99 % for all sources at once)",
        "",
        f"predicted loss {found.predicted:.4f}, natural mix {found.natural:.4f} ({proxies} proxies)",
        f"gain {found.gain:+.4f} (95 % {found.gain_low:+.4f} to {found.gain_high:+.4f}): {verdict}",
        f"divergence from the natural mix {found.divergence:.3f} nats; nearest proxy {found.distance:.3f} away "
        f"(typical for proxies: {found.usual_distance:.3f}); leverage {found.leverage:.2f} of the largest proxy's"
        + (": extrapolated" if found.extrapolates else ""),
    ]
    if not found.decided:
        lines.append("proxies to add:")
        lines += [
            "  " + ", ".join(f"{source} {share:.3f}" for source, share in row.items() if share >= 0.0005)
            for row in found.add
        ]
    return "\n".join(lines)
