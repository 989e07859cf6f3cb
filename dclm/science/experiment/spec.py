"""Experiment files: recipes × scales × token budgets × seeds, and the text that all of them are measured on."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

from dclm.core.config import Count, Positive, build, load_yaml
from dclm.core.errors import ConfigError
from dclm.recipe.recipe import LoadedRecipe, load_recipe, resolve_path
from dclm.train.scale import find_scale

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Text that no recipe of the experiment trains on."""

    path: str
    """A JSONL or Parquet file with a column `text`."""
    documents: Positive
    """How many of its documents are taken, at equal distances."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is varied. Each field but the last two is one axis of the grid; one seed gives no error bars."""

    name: str
    recipes: Mapping[str, str]
    """Name → recipe file, from the one expected to be worst to the one expected to be best: neighbours are compared.

    A recipe's own scale, tokens, seed of training and validation text give way to the experiment's."""
    scales: tuple[str, ...]
    tokens: tuple[Positive, ...] = ()
    """Training tokens; none: each scale's own."""
    seeds: tuple[Count, ...]
    """Of initialisation, mixing and data order. Documents are curated once, with the recipe's own seed."""
    held_out: HeldOut

    def __post_init__(self) -> None:
        for field in ("recipes", "scales", "seeds"):
            if not getattr(self, field):
                raise ValueError(f"`{field}` is empty, allowed: one or more")
        for field in ("scales", "tokens", "seeds"):
            if len(set(getattr(self, field))) < len(getattr(self, field)):
                raise ValueError(f"`{field}` names something twice")
        for name in self.recipes:
            if not _NAME.fullmatch(name):
                raise ValueError(f"found the recipe name {name!r}, allowed: letters, digits and _ . + -")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run of the grid."""

    recipe: str
    scale: str
    tokens: int | None
    """None: the scale's own."""
    seed: int

    @property
    def label(self) -> str:
        """Also its path below the recipe's directory."""
        budget = "own" if self.tokens is None else str(self.tokens)
        return f"{self.scale}/{budget}/seed-{self.seed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedExperiment:
    """An experiment and its recipes, read."""

    experiment: Experiment
    recipes: Mapping[str, LoadedRecipe]
    held_out: Path

    def cells(self) -> tuple[Cell, ...]:
        """The grid: seed by seed, so that a run that is broken off has whole comparisons."""
        e = self.experiment
        budgets: tuple[int | None, ...] = e.tokens or (None,)
        axes = itertools.product(e.seeds, e.scales, budgets, e.recipes)
        return tuple(Cell(recipe=r, scale=s, tokens=t, seed=seed) for seed, s, t, r in axes)


def load_experiment(path: Path) -> LoadedExperiment:
    """Read an experiment file and the recipes it names (relative to it; `${NAME:-default}` as in recipes).

    Raises: ConfigError for what is wrong with any of them.
    """
    experiment = build(Experiment, load_yaml(path))
    directory = path.resolve().parent
    for scale in experiment.scales:
        find_scale(scale)
    recipes = {name: load_recipe(Path(resolve_path(file, directory))) for name, file in experiment.recipes.items()}
    held_out = resolve_path(experiment.held_out.path, directory)
    if "://" in held_out:
        raise ConfigError("held_out.path", f"found {held_out}, allowed: a local JSONL or Parquet file")
    return LoadedExperiment(experiment=experiment, recipes=recipes, held_out=Path(held_out))
