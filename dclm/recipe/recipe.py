"""Recipe files: one experiment from pool to score. The same file runs on a laptop, a GPU box and a cluster.

Paths in a recipe are relative to the recipe's own directory; `${NAME}` and `${NAME:-default}` take environment
variables, so that a recipe can name data whose place differs from machine to machine: those that
`dclm.core.variables` lists, and those that the user names with `--env`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from dclm.core.config import Count, Fraction, NonNegative, Positive, build, load_yaml
from dclm.core.hub import HUB
from dclm.core.names import Name
from dclm.core.variables import fill_variables
from dclm.curate.pipeline import Pipeline, load_pipeline
from dclm.pool.spec import PoolSpec
from dclm.select.classifier.spec import ClassifierSpec
from dclm.train.trackers import TrackerName


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """One pool through one pipeline."""

    name: Name = "data"
    pool: PoolSpec
    """See `dclm.pool.spec`."""
    pipeline: str
    """Path of the pipeline file."""
    weight: NonNegative | None = None
    """Share of the training tokens among several sources; null: as many tokens as it has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment."""

    name: str
    seed: Count = 0
    data: tuple[DataSource, ...]
    classifiers: Mapping[Name, ClassifierSpec] = dataclasses.field(default_factory=dict)
    """fastText classifiers to train first; pipelines name them in `fasttext_score: {model: NAME}`."""
    validation: PoolSpec | None = None
    """Held-out clean text for the validation loss."""
    tokenizer: str = "gpt-neox-20b"
    """An asset's name, or the path of a tokenizer.json."""
    bos: bool | None = None
    """Whether a token begins each document. None: as the tokenizer's post-processor has it; GPT-NeoX's has none."""
    scale: str
    """The model's scale, which fixes shape, tokens and every hyper-parameter. See docs/scales.md."""
    tokens: Positive | None = None
    """Train on so many tokens instead of the scale's: this leaves the benchmark, and the result says so."""
    epochs: Positive = 1
    """How often the tokens may be gone through to reach that number."""
    track: tuple[TrackerName, ...] = ()
    """Where training metrics go beside the run's own files: tensorboard, wandb."""
    suite: str | None = None
    """What the checkpoint is scored on: a suite of eval_suite/suites, such as core, extended or mmlu."""
    tasks: tuple[str, ...] = ()
    """Single tasks, instead of a suite."""
    perplexity: tuple[str, ...] = ()
    """Texts of eval_suite/texts, such as sample or wikitext2: what they cost the model, in bits a byte."""
    contamination: bool = False
    """Look for the tasks' items in the documents the model was trained on: the result has the scores without them."""
    limit: Positive | None = None
    """Items per task at most: a result with a limit does not count as a benchmark score."""
    max_reject_fraction: Fraction = 0.5
    trust: bool = False
    """Run the code of the pipelines' own steps (`FILE:NAME`), as `--trust` does."""
    allow_incomplete: bool = False
    """Go on although files of a pool are damaged; the result carries the list of them."""

    def __post_init__(self) -> None:
        names = [source.name for source in self.data]
        if not names:
            raise ValueError("`data` needs at least one source")
        if len(set(names)) < len(names):
            raise ValueError(f"sources need names of their own, found {', '.join(names)}")
        if self.validation is not None and "validation" in names:
            raise ValueError("the source name `validation` stands for the held-out text, give the source another")
        if (self.suite is None) == (not self.tasks):
            raise ValueError("give either `suite` or `tasks`")
        if any(s.weight is None for s in self.data) and any(s.weight is not None for s in self.data):
            raise ValueError("give every source a weight, or none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedRecipe:
    """A recipe and the directory its paths are relative to."""

    recipe: Recipe
    directory: Path
    variables: frozenset[str] = frozenset()
    """Environment variables that the user allowed by `--env`."""
    trust: bool = False
    """The user allowed the pipelines' own code by `--trust`."""

    def pipeline(self, source: DataSource) -> Pipeline:
        """The pipeline of one of the recipe's sources. Raises: ConfigError with everything that is wrong with it."""
        return load_pipeline(self.path(source.pipeline), self.trust or self.recipe.trust)

    def path(self, text: str) -> str:
        """`text` with environment variables filled in; relative ones are taken from the recipe's directory."""
        return resolve_path(text, self.directory, self.variables)


def resolve_path(text: str, directory: Path, variables: Collection[str] = ()) -> str:
    """See `LoadedRecipe.path`. URLs and `hf:` names are left as they are.

    variables: environment variables that the user allows beside those that any file may read.
    Raises: ConfigError for an environment variable that is not allowed, or not set and without a default.
    """
    filled = fill_variables(text, variables)
    return filled if "://" in filled or filled.startswith(HUB) else os.path.normpath(directory / filled)


def load_recipe(path: Path, variables: Collection[str] = (), trust: bool = False) -> LoadedRecipe:
    """Read a recipe file, and check the names of its pipelines.

    variables: environment variables that it may read beside those of `dclm.core.variables.ALLOWED`.
    trust: let its pipelines name steps of their own, which runs code; the recipe itself may say `trust: true`.
    Raises: ConfigError with everything that is wrong.
    """
    source = load_yaml(path)
    recipe = build(Recipe, source)
    return LoadedRecipe(recipe=recipe, directory=path.resolve().parent, variables=frozenset(variables), trust=trust)
