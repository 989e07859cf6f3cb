"""Common base of the steps that score a document's tokens in consecutive windows of a language model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dclm.core.config import Positive
from dclm.curate.step import Context
from dclm.select.language_model.model_step import ModelStep
from dclm.select.language_model.reference import model_path

if TYPE_CHECKING:
    from dclm.select.language_model.scorer import LanguageModelScorer


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowStep(ModelStep):
    """A step that scores every token but the first of each window; no special tokens are added."""

    model: str
    """A checkpoint or training run of ours, open_lm's FILE.pt, hf:DIRECTORY, or gguf:FILE (also an asset's name)."""
    window: Positive | None = None
    """Window in tokens; null: the model's own window, at most 2,048."""
    tokenizer: str | None = None
    """Asset or tokenizer.json; null: the one next to the model."""

    @property
    def assets(self) -> tuple[str, ...]:
        """The model and the tokenizer."""
        return (*super().assets, *([] if self.tokenizer is None else [self.tokenizer]))

    def scorer(self, context: Context) -> LanguageModelScorer:
        """The model, loaded in this process."""
        from dclm.select.language_model.scorer import LanguageModelScorer

        tokenizer = None if self.tokenizer is None else context.file(self.tokenizer)
        return LanguageModelScorer.load(model_path(self.model, context), tokenizer, self.window)
