"""The interface that scoring needs of a model, and the errors of items; nothing here needs a model's library."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dclm.core.errors import DataError
from dclm.eval.run.tree import Pair
from dclm.eval.tokenizer import Ids, Tokenizer


class AnswerJudgment(Protocol):
    """The model's score of one answer."""

    @property
    def logprobs(self) -> NDArray[np.float32]:
        """Natural logarithms of probabilities whose product is that of the answer: one per token, or a single one."""

    @property
    def greedy(self) -> bool:
        """Whether the answer has the most likely token at every position."""

    @property
    def mean_cross_entropy(self) -> float:
        """Nats per token."""


@dataclasses.dataclass
class TokenCounts:
    """Number of tokens that went through the model."""

    forwarded: int = 0
    """Number of real tokens, without padding."""
    padding: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to continue."""

    prompt: Ids
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    """Regular expressions: a row ends when one of them matches its text."""
    text: str = ""
    """The prompt as text, for a backend that tokenizes by itself; `Generator` does not read it."""


class AnswerScorer(Protocol):
    """Computes how likely answers are."""

    counts: TokenCounts

    def score(self, items: Sequence[Sequence[Pair]]) -> Sequence[Sequence[AnswerJudgment]]:
        """The scores of every pair of every item. Raises: NotFinite."""


class TextGenerator(Protocol):
    """Continues prompts."""

    counts: TokenCounts

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The new text of each request."""


class Candidate(Protocol):
    """Anything that can be evaluated: a model of our own, or one behind lm-eval (`dclm.eval.lm_eval.backend`)."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""

    @property
    def window(self) -> int:
        """Number of tokens of context and answer that are scored."""

    def scorer(self, batch_tokens: int) -> AnswerScorer:
        """Scores answers, with about `batch_tokens` tokens per forward pass."""

    def generator(self, batch_tokens: int) -> TextGenerator:
        """Generates text, with about `batch_tokens` tokens per forward pass."""


class NotFinite(Exception):
    """A logit of this item is not finite."""

    def __init__(self, item: int) -> None:
        super().__init__(item)
        self.item = item


class OutOfVocabulary(DataError):
    """An item has a token for which the model has no logit."""

    item: int
    """Number of the item."""


@contextlib.contextmanager
def name_items(places: Sequence[str]) -> Iterator[None]:
    """Names the item, by `places`, that could not be scored. Raises: DataError."""
    try:
        yield
    except NotFinite as error:
        what, hint = "the model gives a logit that is not finite", "its weights are damaged"
        raise DataError(places[error.item], what, hint) from None
    except OutOfVocabulary as error:
        raise DataError(places[error.item], error.problems[0].what, error.problems[0].hint) from None
