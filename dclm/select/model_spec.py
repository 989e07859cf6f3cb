"""The `models:` of a recipe: models to train before the pipelines run, so that their steps can score with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

from dclm.core.config import Count, Positive
from dclm.select.hosts.graph import HostGraphSpec
from dclm.select.ngram.train import NgramSpec
from dclm.select.semantic.head import HeadSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModelSpec:
    """A language model of one of our scales, for `lm_score` and `machine_text`."""

    texts: tuple[str, ...]
    """Files of clean text to learn from, or documents artifacts."""
    scale: str
    """The model's scale. DCLM's perplexity filter has 154m."""
    tokenizer: str = "gpt-neox-20b"
    """An asset's name, or the path of a tokenizer.json."""
    tokens: Positive | None = None
    """Tokens to train on; null: the scale's number."""
    epochs: Positive = 1
    """Maximum number of passes over the texts."""
    seed: Count = 0

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError("give at least one of `texts`")

    def with_paths(self, path_of: Callable[[str], str]) -> LanguageModelSpec:
        """The same with every path replaced, for example by its location on this machine."""
        tokenizer = path_of(self.tokenizer) if self.tokenizer.endswith(".json") else self.tokenizer
        return dataclasses.replace(self, texts=tuple(map(path_of, self.texts)), tokenizer=tokenizer)


Spec = LanguageModelSpec | NgramSpec | HeadSpec | HostGraphSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelMap:
    """One of these keys."""

    language_model: LanguageModelSpec | None = None
    """For `lm_score` and `machine_text`."""
    ngram: NgramSpec | None = None
    """For `kenlm_score`."""
    embedding_classifier: HeadSpec | None = None
    """For `embedding_classifier`."""
    host_ranks: HostGraphSpec | None = None
    """For `host_rank`."""

    def __post_init__(self) -> None:
        names = [field.name for field in dataclasses.fields(self)]
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"give one of {', '.join(names)}")

    @property
    def kind(self) -> str:
        """The key."""
        return next(f.name for f in dataclasses.fields(self) if getattr(self, f.name) is not None)

    @property
    def spec(self) -> Spec:
        """The value under the key."""
        return cast(Spec, getattr(self, self.kind))
