"""A swarm: mixtures of a recipe's sources drawn around the natural one, and the proxies to train on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction as Ratio
from pathlib import Path

import numpy as np

from dclm.core.config import Count, Fraction, NonNegative, Positive, build, load_yaml, suggest
from dclm.core.errors import ConfigError
from dclm.core.names import Name
from dclm.eval.task import load_task
from dclm.recipe.recipe import LoadedRecipe, load_recipe, resolve_path
from dclm.science.experiment.spec import HeldOut
from dclm.science.mix.table import NumberTable
from dclm.tokens.mixture import apportion
from dclm.train.scale import Scale
from dclm.train.scale_file import ENDINGS, open_scale

Splits = Mapping[str, Mapping[str, float]]
STEPS = 1000
"""Shares are multiples of 1 / STEPS, so that a table states exactly what was trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swarm:
    """A file of `dclm mix swarm`."""

    name: str
    recipe: str
    """Recipe file whose sources are mixed. Its scale, tokens, seed, weights and validation text are overridden."""
    scale: str
    """Scale of the proxies: a name, or a .yaml file that declares one."""
    tokens: Positive | None = None
    """Training tokens per proxy; null: the scale's own."""
    proxies: Positive
    """Number of proxies. Raise it to add proxies to the finished ones."""
    seed: Count = 0
    """Seed for the mixtures, and for each proxy's training."""
    spread: float = 1.0
    """Concentration of the Dirichlet distribution per source: below 1, mixtures are closer to single sources; above,
    closer to the natural mix."""
    natural: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Source → its share in the natural mix, in any unit; empty: equal shares."""
    held_out: Mapping[Name, HeldOut] = dataclasses.field(default_factory=dict)
    """Name → a text on which no proxy trains. Each gives a column of the losses: bits per byte."""
    tasks: tuple[str, ...] = ()
    """Tasks on which to evaluate each proxy. Each gives a column of the losses: bits per byte of its right answers."""
    limit: Positive | None = None
    """Maximum number of items per task."""
    averages: Mapping[Name, Mapping[str, NonNegative]] = dataclasses.field(default_factory=dict)
    """Name → weight of each text and task in a mean, such as one like CORE; each gives a column of the losses."""
    by: Mapping[Name, str | tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Source → column of labels, or several: the source is mixed label by label, as `SOURCE.LABEL`."""
    min_label_share: Fraction = 0.01
    """Labels with less of the source's text are put together as `SOURCE.other`."""

    def __post_init__(self) -> None:
        if not (self.held_out or self.tasks):
            raise ValueError("`held_out` and `tasks` are empty, allowed: one text or task, or more")
        columns = [*self.held_out, *self.tasks, *self.averages]
        if len(set(columns)) < len(columns):
            raise ValueError(f"texts, tasks and averages need different names, found {', '.join(columns)}")
        for name, weights in self.averages.items():
            known = (*self.held_out, *self.tasks)
            if unknown := [part for part in weights if part not in known]:
                raise ValueError(f"`averages.{name}` names {', '.join(unknown)}, allowed: {', '.join(known)}")
            if not sum(weights.values()) > 0:
                raise ValueError(f"`averages.{name}` has no weight above 0")
        if not (math.isfinite(self.spread) and self.spread > 0):
            raise ValueError(f"`spread` is {self.spread:g}, allowed: a positive number")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedSwarm:
    """A loaded swarm with its recipe."""

    swarm: Swarm
    recipe: LoadedRecipe
    held_out: Mapping[str, Path]
    scale: Scale

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the recipe's sources."""
        return tuple(source.name for source in self.recipe.recipe.data)


def load_swarm(path: Path, variables: Collection[str] = (), trust: bool = False) -> LoadedSwarm:
    """Read a swarm and the recipe it names (relative to it). Raises: ConfigError with the errors in either.

    variables: environment variables that they may read in addition to the usual ones. trust: allow the recipe's
    pipelines to name custom steps, which runs code.
    """
    swarm = build(Swarm, load_yaml(path))
    directory = path.resolve().parent
    in_file = swarm.scale.endswith(ENDINGS)
    scale = open_scale(resolve_path(swarm.scale, directory, variables) if in_file else swarm.scale)
    recipe = load_recipe(Path(resolve_path(swarm.recipe, directory, variables)), variables, trust)
    loaded = LoadedSwarm(
        swarm=swarm,
        recipe=recipe,
        held_out={name: Path(resolve_path(text.path, directory, variables)) for name, text in swarm.held_out.items()},
        scale=scale,
    )
    if len(loaded.sources) < 2 and not swarm.by:
        raise ConfigError(str(path), f"{swarm.recipe} has one source, allowed: two or more to mix")
    for task in swarm.tasks:
        load_task(task)
    for name in swarm.by:
        if name not in loaded.sources:
            raise ConfigError(f"by.{name}", f"no source of {swarm.recipe}", suggest(name, loaded.sources))
    if swarm.by and recipe.recipe.dedup_across is not None:
        what = "a source is split before duplicates between sources are found, allowed: `by` or `dedup_across`"
        raise ConfigError("by", what, "find duplicates in the pipeline")
    for name, share in swarm.natural.items():
        if name not in loaded.sources:
            raise ConfigError(f"natural.{name}", f"no source of {swarm.recipe}", suggest(name, loaded.sources))
        if not (math.isfinite(share) and share > 0):
            raise ConfigError(f"natural.{name}", f"found {share:g}, allowed: a positive number")
    if swarm.natural and len(swarm.natural) < len(loaded.sources):
        missing = sorted(set(loaded.sources) - set(swarm.natural))
        raise ConfigError("natural", f"found no share for {', '.join(missing)}", "give every source a share, or none")
    return loaded


def propose(
    loaded: LoadedSwarm, earlier: NumberTable | None = None, splits: Splits | None = None
) -> dict[str, dict[str, float]]:
    """Name of each proxy → the share of each source, including shares of 0.

    splits: source → the shares of the parts that it is split into, each of which is a source.
    Proxies of `earlier` that read no other sources come first, under their names. If they read a source that has since
    been split, as a whole, it stays a column. The others are drawn from a Dirichlet distribution around the natural
    mix. Raises: ConfigError if earlier proxies read a source that no longer exists.
    """
    swarm, splits = loaded.swarm, splits or {}
    natural = {
        part: swarm.natural.get(source, 1.0) * share
        for source in loaded.sources
        for part, share in splits.get(source, {source: 1.0}).items()
    }
    drawn_from = tuple(natural)
    whole = [] if earlier is None else [n for n in splits if n in earlier.columns and earlier.column(n).any()]
    sources = (*whole, *drawn_from)
    found: dict[str, dict[str, float]] = {}
    if earlier is not None:
        gone = [name for name in earlier.columns if name not in sources and earlier.column(name).any()]
        if gone:
            raise ConfigError(
                earlier.path, f"found proxies that read {gone[0]}, which the recipe lacks", "start a new swarm"
            )
        for name, row in zip(earlier.names, earlier.values, strict=True):
            found[name] = {s: float(row[earlier.columns.index(s)]) if s in earlier.columns else 0.0 for s in sources}
    weights = np.array(list(natural.values()))
    concentration = swarm.spread * len(weights) * weights / weights.sum()
    number = 0
    while len(found) < swarm.proxies:
        number += 1
        drawn = np.random.default_rng((swarm.seed, len(weights), number)).dirichlet(concentration)
        shares = dict.fromkeys(whole, 0.0) | rounded(drawn_from, drawn)
        if shares not in found.values():
            found[f"{len(found):04d}"] = shares
    return found


def rounded(sources: Sequence[str], weights: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Shares in thousandths that sum to exactly 1 (largest remainder)."""
    parts = apportion([Ratio(float(w)) for w in weights], STEPS)
    return {source: part / STEPS for source, part in zip(sources, parts, strict=True)}
