"""Where a run's artifacts lie, and the names a recipe may use for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from dclm.core.errors import ConfigError
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

    out: Path
    loaded: LoadedRecipe

    def pool(self, source: str) -> Path:
        """Where a source's generated or fetched pool is made."""
        return self.out / "pool" / source

    def classifier(self, name: str) -> Path:
        return self.out / "classifiers" / name

    def documents(self, source: str) -> Path:
        return self.out / "documents" / source

    @property
    def tokens(self) -> Path:
        return self.out / "tokens"

    @property
    def validation(self) -> Path:
        """Tokens of the held-out text."""
        return self.out / "validation"

    @property
    def train(self) -> Path:
        return self.out / "train"

    @property
    def scores(self) -> Path:
        return self.out / "scores"

    @property
    def contamination(self) -> Path:
        return self.out / "contamination.json"

    @property
    def result(self) -> Path:
        return self.out / "result.json"

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
        made = sorted(p.parent for p in self.pool(source).glob("*/record.json"))
        if len(made) != 1:
            raise ConfigError(text, "only generated pools have files of their own", "use `pool: {sample: …}`")
        return str(made[0] / file)
