"""Where a run's artifacts lie, and the names a recipe may use for them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from dclm.core.errors import ConfigError
from dclm.core.store import join
from dclm.pool.spec import PoolMap, sample_name
from dclm.recipe.recipe import LoadedRecipe

StageName = Literal["pool", "curate", "tokenize", "train", "evaluate"]
STAGES: tuple[StageName, ...] = ("pool", "curate", "tokenize", "train", "evaluate")
POOL_PREFIX = "pool:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A run's directory.

    OUT/pool/SOURCE · classifiers/NAME · documents/SOURCE · tokens · validation · train · scores · contamination.json ·
    result.json
    """

    out: str
    """Address of the run: a local folder or a URL."""
    loaded: LoadedRecipe

    def pool(self, source: str) -> str:
        """Where a source's generated or fetched pool is made."""
        return join(self.out, "pool", source)

    def classifier(self, name: str) -> str:
        return join(self.out, "classifiers", name)

    def documents(self, source: str) -> str:
        return join(self.out, "documents", source)

    @property
    def tokens(self) -> str:
        return join(self.out, "tokens")

    @property
    def validation(self) -> str:
        """Tokens of the held-out text."""
        return join(self.out, "validation")

    @property
    def train(self) -> str:
        return join(self.out, "train")

    @property
    def scores(self) -> str:
        return join(self.out, "scores")

    @property
    def contamination(self) -> str:
        return join(self.out, "contamination.json")

    @property
    def result(self) -> str:
        return join(self.out, "result.json")

    def path(self, text: str) -> str:
        """A path of the recipe on this machine; `pool:SOURCE/FILE` is a file of a pool that the run has made.

        Raises: ConfigError for a source that the recipe does not have.
        """
        if not text.startswith(POOL_PREFIX):
            return self.loaded.path(text)
        source, _, file = text.removeprefix(POOL_PREFIX).partition("/")
        names = [s.name for s in self.loaded.recipe.data]
        if source not in names:
            raise ConfigError(text, f"no data source {source}, allowed: {', '.join(names)}")
        pool = next(s.pool for s in self.loaded.recipe.data if s.name == source)
        if not isinstance(pool, PoolMap) or pool.sample is None:
            raise ConfigError(text, "only generated pools have files of their own", "use `pool: {sample: …}`")
        return join(self.pool(source), sample_name(pool.sample), file)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharingLayout(Layout):
    """Tokens and model of one of many runs; pools, classifiers and documents are those of another layout."""

    shared: Layout

    def pool(self, source: str) -> str:
        return self.shared.pool(source)

    def classifier(self, name: str) -> str:
        return self.shared.classifier(name)

    def documents(self, source: str) -> str:
        return self.shared.documents(source)
