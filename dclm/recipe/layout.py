"""The paths of a run's artifacts, and the names a recipe may use for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from dclm.core.errors import ConfigError
from dclm.core.record import RECORD
from dclm.core.storage import is_local
from dclm.core.stores.store import absolute, exists, join, open_store
from dclm.pool.spec import PoolMap, sample_name
from dclm.recipe.recipe import LoadedRecipe

StageName = Literal["pool", "curate", "tokenize", "train", "evaluate"]
STAGES: tuple[StageName, ...] = ("pool", "curate", "tokenize", "train", "evaluate")
POOL_PREFIX = "pool:"
DOCUMENTS_PREFIX = "documents:"
RESULT = "result.json"
_PLACES = ("classifiers/*", "documents/*", "across", "tokens", "validation", "train", "scores")
"""Paths of a run's artifacts, relative to its directory."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A run's directory.

    OUT/pool/SOURCE · classifiers/NAME · models/NAME · documents/SOURCE · across · tokens · validation · train ·
    scores · contamination.json · result.json
    """

    out: str
    """Address of the run: a local folder or a URL."""
    loaded: LoadedRecipe

    def pool(self, source: str) -> str:
        """Address of a source's generated or downloaded pool."""
        return join(self.out, "pool", source)

    def classifier(self, name: str) -> str:
        return join(self.out, "classifiers", name)

    def model(self, name: str) -> str:
        return join(self.out, "models", name)

    def documents(self, source: str) -> str:
        return join(self.out, "documents", source)

    @property
    def across(self) -> str:
        """Documents of all sources without duplicates between them, if the recipe has `dedup_across`."""
        return join(self.out, "across")

    def trained_documents(self) -> dict[str, str]:
        """Name → address of the artifacts that hold the documents to train on."""
        if self.loaded.recipe.dedup_across is not None:
            return {"across": self.across}
        return {source.name: self.documents(source.name) for source in self.loaded.recipe.data}

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
        return join(self.out, RESULT)

    def path(self, text: str) -> str:
        """A path in the recipe, on this machine.

        `pool:SOURCE/FILE` is a file of a pool that the run has made, `documents:NAME` are documents curated by
        `annotate`.
        Raises: ConfigError for a source that the recipe does not have.
        """
        if text.startswith(DOCUMENTS_PREFIX):
            name = text.removeprefix(DOCUMENTS_PREFIX)
            known = [s.name for s in self.loaded.recipe.annotate]
            if name not in known:
                raise ConfigError(text, f"no such source in `annotate`, allowed: {', '.join(known) or 'none'}")
            return self.documents(name)
        if not text.startswith(POOL_PREFIX):
            return self.loaded.path(text)
        source, _, file = text.removeprefix(POOL_PREFIX).partition("/")
        sources = (*self.loaded.recipe.data, *self.loaded.recipe.annotate)
        names = [s.name for s in sources]
        if source not in names:
            raise ConfigError(text, f"no data source {source}, allowed: {', '.join(names)}")
        pool = next(s.pool for s in sources if s.name == source)
        if not isinstance(pool, PoolMap) or pool.sample is None:
            raise ConfigError(text, "only generated pools have files in the run's directory", "use `pool: {sample: …}`")
        return join(self.pool(source), sample_name(pool.sample), file)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharingLayout(Layout):
    """Tokens and model of one of several runs that share the pools, classifiers and documents of another layout."""

    shared: Layout

    def pool(self, source: str) -> str:
        return self.shared.pool(source)

    def classifier(self, name: str) -> str:
        return self.shared.classifier(name)

    def model(self, name: str) -> str:
        return self.shared.model(name)

    def documents(self, source: str) -> str:
        return self.shared.documents(source)

    @property
    def across(self) -> str:
        return self.shared.across


def artifacts_of_run(out: str) -> dict[str, str]:
    """Path of each finished artifact in a run's directory (`documents/web`, `train` …) → its address.

    out: a local folder or a URL; empty if it is not a run's directory, or nothing in it has finished.
    """
    store = open_store(out)
    found = {}
    for place in _PLACES:
        folder, star, _ = place.partition("/*")
        if not star:
            names = [folder]
        elif is_local(out):
            names = [f"{folder}/{path.name}" for path in sorted(Path(out, folder).glob("*"))]
        else:
            names = sorted({"/".join(key.split("/")[:2]) for key in store.list(f"{folder}/")})
        found.update({name: join(out, name) for name in names if exists(join(out, name, RECORD))})
    return found


def documents_in(address: str) -> list[str]:
    """The documents artifacts at an address: itself, or those of a run if it is a run's directory (`across` last)."""
    parts = artifacts_of_run(absolute(address))
    return [a for place, a in parts.items() if place == "across" or place.startswith("documents/")] or [address]
