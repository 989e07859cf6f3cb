"""Experiment files: recipes × scales × token budgets × seeds, and the text on which all of them are evaluated."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping
from pathlib import Path

from dclm.core.config import Count, Positive, build, load_yaml
from dclm.core.errors import ConfigError
from dclm.core.names import Name
from dclm.recipe.recipe import LoadedRecipe, load_recipe, resolve_path
from dclm.train.scale import Scale, find_scale


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Text on which no recipe of the experiment trains."""

    path: str
    """A JSONL or Parquet file with a column `text`."""
    documents: Positive
    """Number of its documents to use, at equal distances."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """The axes that are varied: every field except the name and the held-out text. One seed gives no error bars."""

    name: str
    recipes: Mapping[Name, str]
    """Name → recipe file, from the expected worst to the expected best: neighbors are compared, unless there is a
    `baseline`.

    A recipe's own scale, tokens, training seed and validation text are overridden by the experiment's."""
    scales: tuple[str, ...]
    tokens: tuple[Positive, ...] = ()
    """Token budgets; none: each scale's own."""
    seeds: tuple[Count, ...]
    """Seeds for initialization, mixing and data order. Documents are curated once, with the recipe's own seed."""
    learning_rates: tuple[float, ...] = (1.0,)
    """Multiples of each scale's learning rate, including the final one, such as 0.5, 1 and 2: they leave the benchmark,
    and the report says whether the order of the recipes stays the same."""
    weight_decays: tuple[float, ...] = (1.0,)
    """Multiples of each scale's weight decay."""
    share_kept: tuple[float, ...] = ()
    """Fractions of the documents to keep, instead of the `keep_top` of the recipes' `quantile` step: each recipe is run
    with each of them, and the best one is fitted over compute and repeats. None: as the pipelines say."""
    held_out: HeldOut
    baseline: Name | None = None
    """The recipe that all others are compared with; null: each recipe is compared with the one before it."""
    published: Mapping[Name, float] = dataclasses.field(default_factory=dict)
    """Recipe → a published result of the same method, higher is better. The report prints it next to the measured one.
    """
    published_as: str = "published"
    """Title of the column of published results."""

    def __post_init__(self) -> None:
        for field in ("recipes", "scales", "seeds", "learning_rates", "weight_decays"):
            if not getattr(self, field):
                raise ValueError(f"`{field}` is empty, allowed: one or more")
        unknown = sorted({*self.published, *([self.baseline] if self.baseline else [])} - set(self.recipes))
        if unknown:
            raise ValueError(f"found the recipe {unknown[0]}, allowed: {', '.join(self.recipes)}")
        for field in ("scales", "tokens", "seeds", "learning_rates", "weight_decays", "share_kept"):
            if len(set(getattr(self, field))) < len(getattr(self, field)):
                raise ValueError(f"`{field}` has a value twice")
        for field in ("learning_rates", "weight_decays"):
            wrong = [x for x in getattr(self, field) if not (math.isfinite(x) and x > 0)]
            if wrong:
                raise ValueError(f"`{field}` has {wrong[0]:g}, allowed: positive multiples of the scale's own")
        outside = [x for x in self.share_kept if not 0 < x <= 1]
        if outside:
            raise ValueError(f"`share_kept` has {outside[0]:g}, allowed: above 0, at most 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run of the grid."""

    recipe: str
    scale: str
    tokens: int | None
    """None: the scale's own budget."""
    seed: int
    learning_rate: float = 1.0
    """Multiple of the scale's own learning rate."""
    weight_decay: float = 1.0
    """Multiple of the scale's own weight decay."""

    @property
    def label(self) -> str:
        """Also its path below the recipe's directory. Runs with the scale's own rates keep their original path."""
        budget = "own" if self.tokens is None else str(self.tokens)
        own = (self.learning_rate, self.weight_decay) == (1.0, 1.0)
        rates = "" if own else f"rate-{self.learning_rate:g}x-decay-{self.weight_decay:g}x/"
        return f"{self.scale}/{budget}/{rates}seed-{self.seed}"

    def adapt(self, scale: Scale) -> Scale:
        """`scale` with the cell's learning rate and weight decay."""
        if (self.learning_rate, self.weight_decay) == (1.0, 1.0):
            return scale
        return dataclasses.replace(
            scale,
            learning_rate=scale.learning_rate * self.learning_rate,
            final_learning_rate=scale.final_learning_rate * self.learning_rate,
            weight_decay=scale.weight_decay * self.weight_decay,
            standard=False,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedExperiment:
    """A loaded experiment with its recipes."""

    experiment: Experiment
    recipes: Mapping[str, LoadedRecipe]
    """Name → recipe; with `share_kept`, one for each share, named NAME-keep-SHARE."""
    held_out: Path

    def cells(self) -> tuple[Cell, ...]:
        """The grid, seed by seed, so that an interrupted run has complete comparisons."""
        e = self.experiment
        budgets: tuple[int | None, ...] = e.tokens or (None,)
        axes = itertools.product(e.seeds, e.scales, budgets, e.learning_rates, e.weight_decays, self.recipes)
        return tuple(
            Cell(recipe=recipe, scale=scale, tokens=tokens, seed=seed, learning_rate=rate, weight_decay=decay)
            for seed, scale, tokens, rate, decay, recipe in axes
        )


def load_experiment(path: Path, variables: Collection[str] = (), trust: bool = False) -> LoadedExperiment:
    """Read an experiment file and the recipes it names (relative to it; `${NAME:-default}` as in recipes).

    variables: environment variables that they may read in addition to the usual ones. trust: allow the recipes'
    pipelines to name custom steps, which runs code.

    Raises: ConfigError with the errors in any of them.
    """
    experiment = build(Experiment, load_yaml(path))
    directory = path.resolve().parent
    for scale in experiment.scales:
        find_scale(scale)
    recipes = {
        name: load_recipe(Path(resolve_path(file, directory, variables)), variables, trust)
        for name, file in experiment.recipes.items()
    }
    if experiment.share_kept:
        recipes = {
            f"{name}-keep-{share:g}": dataclasses.replace(recipe, keep_top=share)
            for name, recipe in recipes.items()
            for share in experiment.share_kept
        }
    for recipe in recipes.values():
        if recipe.keep_top is not None:  # a pipeline without a share to vary is reported now
            for source in recipe.recipe.data:
                recipe.pipeline(source)
    held_out = resolve_path(experiment.held_out.path, directory, variables)
    if "://" in held_out:
        raise ConfigError("held_out.path", f"found {held_out}, allowed: a local JSONL or Parquet file")
    return LoadedExperiment(experiment=experiment, recipes=recipes, held_out=Path(held_out))
