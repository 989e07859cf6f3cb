"""Recipe files: one experiment from pool to score. The same file runs on a laptop, a GPU machine and a cluster.

Paths in a recipe are relative to the recipe's own directory. `${NAME}` and `${NAME:-default}` insert environment
variables, so that a recipe can refer to data whose location differs between machines: the variables that
`dclm.core.variables` lists, and those that the user allows with `--env`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal

from dclm.core.config import Count, Fraction, NonNegative, Positive, Range, build, load_yaml
from dclm.core.errors import ConfigError
from dclm.core.names import Name
from dclm.core.stores.hub import HUB
from dclm.core.variables import fill_variables
from dclm.curate.pipeline import Pipeline, load_pipeline
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.pool.lists import MARK
from dclm.pool.spec import PoolSpec
from dclm.select.classifier.spec import ClassifierSpec
from dclm.select.model_spec import ModelMap
from dclm.select.quantile import Quantile
from dclm.tokens.repeats import DocumentRepeats
from dclm.train.output.trackers import TrackerName

Repeats = Annotated[float, Range(1e-6, 1e6)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """One pool through one pipeline."""

    name: Name = "data"
    pool: PoolSpec
    """Paths, globs or URLs, or a map with one kind of source and the names of its fields."""
    pipeline: str
    """Path of the pipeline file."""
    weight: NonNegative | None = None
    """Mixture weight among several sources; null: use all of its tokens."""
    max_repeats: Repeats | None = None
    """Maximum number of passes over this source in a mixture; null: the recipe's `epochs`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipePhase:
    """A part of training with its own mixture."""

    share: Repeats
    """Share of the training tokens, relative to the other phases'."""
    weights: Mapping[Name, NonNegative]
    """Source → its weight; sources that are not listed are not read in this phase."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DedupAcross:
    """Which step finds duplicates between the sources of a recipe, and whose copy is kept.

    The step runs over the documents that all pipelines kept, and also drops what it finds within one source. If both
    steps are given, `exact` runs first.
    """

    exact: Exact | None = None
    """Drop documents with equal texts or URLs."""
    minhash: MinHash | None = None
    """Drop documents with similar texts."""
    prefer: tuple[Name, ...] = ()
    """Sources, best first: the copy of the best source is kept. Others follow in the order of `data`. With another
    `keep` than `first`, the order decides between copies of equal rank."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("give `exact`, `minhash` or both")
        if self.exact is not None and self.exact.of not in ("text", "url"):
            raise ValueError(f"`exact` compares whole documents here: found of: {self.exact.of}, allowed: text, url")
        if len(set(self.prefer)) < len(self.prefer):
            raise ValueError(f"`prefer` names a source twice: {', '.join(self.prefer)}")

    @property
    def steps(self) -> tuple[Exact | MinHash, ...]:
        """The steps in order."""
        return tuple(step for step in (self.exact, self.minhash) if step is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment."""

    name: str
    seed: Count = 0
    data: tuple[DataSource, ...]
    annotate: tuple[DataSource, ...] = ()
    """Samples to curate first, from which `classifiers` and `models` learn as `documents:NAME`; not training data."""
    dedup_across: DedupAcross | None = None
    """Find duplicates between the sources of `data`, and train on one copy of each. See docs/dedup.md."""
    classifiers: Mapping[Name, ClassifierSpec] = dataclasses.field(default_factory=dict)
    """fastText classifiers to train first; pipelines refer to them in `fasttext_score: {model: NAME}`."""
    phases: tuple[RecipePhase, ...] = ()
    """A curriculum, instead of weights: one mixture after the other, each with its exact shares throughout."""
    temperature: Repeats | None = None
    """Instead of weights: sources in proportion to their size to the power 1/temperature."""
    weights_by: Literal["tokens", "documents"] = "tokens"
    """Whether weights and temperature state shares of the tokens, or of the documents."""
    repeats: DocumentRepeats | None = None
    """How often each document is read, by one of its columns; null: all equally often. See docs/mix.md."""
    models: Mapping[Name, ModelMap] = dataclasses.field(default_factory=dict)
    """Other models to train first; pipelines refer to them by name, as in `lm_score: {model: NAME}`."""
    validation: PoolSpec | None = None
    """Held-out clean text for the validation loss."""
    tokenizer: str = "gpt-neox-20b"
    """An asset's name, or the path of a tokenizer.json."""
    bos: bool | None = None
    """Whether a token begins each document. None: as in the tokenizer's post-processor; GPT-NeoX's has none."""
    scale: str
    """The model's scale, which determines shape, tokens and every hyper-parameter. See docs/scales.md."""
    tokens: Positive | None = None
    """Overrides the scale's token budget: the run then leaves the benchmark, and the result says so."""
    epochs: Positive = 1
    """Maximum number of passes over the tokens to reach that budget."""
    weight_decay: NonNegative | None = None
    """Overrides the scale's weight decay, for instance for several passes; declared in the result."""
    track: tuple[TrackerName, ...] = ()
    """Where to send training metrics, in addition to the run's own files: tensorboard, wandb."""
    suite: str | None = None
    """Suite to score the checkpoint on, from eval_suite/suites, such as core, extended or mmlu."""
    tasks: tuple[str, ...] = ()
    """Single tasks, instead of a suite."""
    perplexity: tuple[str, ...] = ()
    """Texts of eval_suite/texts, such as sample or wikitext2, on which to measure the model's bits per byte."""
    contamination: bool = False
    """Search the training documents for the tasks' items: the result then also has scores without those items."""
    limit: Positive | None = None
    """Maximum number of items per task: a result with a limit does not count as a benchmark score."""
    max_reject_fraction: Fraction = 0.5
    trust: bool = False
    """Run the code of the pipelines' own steps (`FILE:NAME`), as `--trust` does."""
    allow_incomplete: bool = False
    """Continue even if files of a pool are damaged; the result contains the list of them."""

    def __post_init__(self) -> None:
        names = [source.name for source in (*self.data, *self.annotate)]
        if not self.data:
            raise ValueError("`data` needs at least one source")
        if len(set(names)) < len(names):
            raise ValueError(f"sources need unique names, found {', '.join(names)}")
        if self.validation is not None and "validation" in names:
            raise ValueError("the source name `validation` is reserved for the held-out text, choose another")
        both = sorted(set(self.classifiers) & set(self.models))
        if both:
            raise ValueError(f"{both[0]} is the name of both a classifier and a model, choose another")
        if (self.suite is None) == (not self.tasks):
            raise ValueError("give either `suite` or `tasks`")
        if any(s.weight is None for s in self.data) and any(s.weight is not None for s in self.data):
            raise ValueError("give all sources a weight, or none")
        given = (self.data[0].weight is not None, self.temperature is not None, bool(self.phases))
        if sum(given) > 1:
            raise ValueError("give either weights, a temperature or phases")
        if not any(given) and any(s.max_repeats is not None for s in self.data):
            raise ValueError("`max_repeats` of a source needs weights, a temperature or phases")
        wanted = () if self.dedup_across is None else self.dedup_across.prefer
        if missing := [name for name in wanted if name not in [source.name for source in self.data]]:
            allowed = ", ".join(source.name for source in self.data)
            raise ValueError(f"`prefer` of `dedup_across` names {', '.join(missing)}, allowed: {allowed}")
        unknown = sorted({name for phase in self.phases for name in phase.weights} - set(names))
        if unknown:
            raise ValueError(f"phases name {', '.join(unknown)}, allowed: {', '.join(names)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedRecipe:
    """A recipe and the directory that its paths are relative to."""

    recipe: Recipe
    directory: Path
    variables: frozenset[str] = frozenset()
    """Environment variables that the user allowed with `--env`."""
    trust: bool = False
    """Whether the user allowed the pipelines' own code with `--trust`."""
    keep_top: float | None = None
    """Replaces the share that the pipelines' `quantile` steps keep; None: as they say."""

    def pipeline(self, source: DataSource) -> Pipeline:
        """The pipeline of one of the recipe's sources. Raises: ConfigError with every error in it."""
        loaded = load_pipeline(self.path(source.pipeline), self.trust or self.recipe.trust)
        return loaded if self.keep_top is None else with_share_kept(loaded, self.keep_top)

    def path(self, text: str) -> str:
        """`text` with environment variables inserted; relative paths start from the recipe's directory."""
        return resolve_path(text, self.directory, self.variables)


def resolve_path(text: str, directory: Path, variables: Collection[str] = ()) -> str:
    """See `LoadedRecipe.path`. URLs and `hf:` names are returned unchanged.

    variables: environment variables that the user allows in addition to those that any file may read. Raises:
    ConfigError for an environment variable that is not allowed, or is not set and has no default.
    """
    filled = fill_variables(text, variables)
    if filled.startswith(MARK):
        return MARK + resolve_path(filled.removeprefix(MARK), directory, variables)
    return filled if "://" in filled or filled.startswith(HUB) else os.path.normpath(directory / filled)


def load_recipe(path: Path, variables: Collection[str] = (), trust: bool = False) -> LoadedRecipe:
    """Read a recipe file, and check the names of its pipelines.

    variables: environment variables that it may read in addition to `dclm.core.variables.ALLOWED`.
    trust: allow its pipelines to name custom steps, which runs code; the recipe itself may also say `trust: true`.
    Raises: ConfigError with every error in the file.
    """
    source = load_yaml(path)
    recipe = build(Recipe, source)
    return LoadedRecipe(recipe=recipe, directory=path.resolve().parent, variables=frozenset(variables), trust=trust)


def with_share_kept(pipeline: Pipeline, share: float) -> Pipeline:
    """`pipeline` with another share in its step with `keep_top`.

    Raises: ConfigError if it does not have exactly one such step.
    """
    found = [step for step in pipeline.steps if isinstance(step, Quantile) and step.keep_top is not None]
    if len(found) != 1:
        what = f"found {len(found)} steps `quantile` with `keep_top`, allowed: one, whose share is varied"
        raise ConfigError(f"pipeline {pipeline.name}", what)
    steps = tuple(dataclasses.replace(s, keep_top=share) if s is found[0] else s for s in pipeline.steps)
    return dataclasses.replace(pipeline, steps=steps)
