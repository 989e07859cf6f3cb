"""lm-eval's models behind our interface: `lm-eval:KIND,key=value,…` scores our suite on any backend of lm-eval that
accepts tokens.

A prompt is tokenized as in the reference and passed as ids, so that scores do not depend on the backend. Text is
generated through lm-eval's own interface, which takes a prompt as text and tokenizes it in one piece.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.api.registry import get_model
from lm_eval.utils import simple_parse_args_string
from numpy.typing import NDArray

from dclm.core.errors import ConfigError, DataError
from dclm.eval.run.eval_model import LM_EVAL, REFERENCE_WINDOW
from dclm.eval.run.interface import NotFinite, Request, TokenCounts
from dclm.eval.run.tree import Pair
from dclm.eval.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class TotalScore:
    """lm-eval's score of one answer: its probability as a whole."""

    logprobs: NDArray[np.float32]
    """One number: the natural logarithm of the whole answer's probability."""
    tokens: int
    greedy: bool

    @property
    def mean_cross_entropy(self) -> float:
        """Nats per token."""
        return -float(self.logprobs[0]) / self.tokens


class BackendScorer:
    """Scores pairs with `_loglikelihood_tokens`. The backend decides what is forwarded: `counts` stay zero."""

    def __init__(self, lm: LM) -> None:
        self.lm = lm
        self.counts = TokenCounts()

    def score(self, items: Sequence[Sequence[Pair]]) -> list[list[TotalScore]]:
        """The scores of every pair of every item. Raises: NotFinite."""
        requests = [(("", ""), list(context), list(answer)) for pairs in items for context, answer in pairs]
        results = iter(self.lm._loglikelihood_tokens(requests, disable_tqdm=True))
        scores = []
        for number, pairs in enumerate(items):
            found = [(*next(results), len(answer)) for _, answer in pairs]
            if not all(math.isfinite(total) for total, _, _ in found):
                raise NotFinite(number)
            scores.append(
                [TotalScore(np.asarray([total], np.float32), length, bool(greedy)) for total, greedy, length in found]
            )
        return scores


class BackendGenerator:
    """Continues the texts of prompts with `generate_until`, greedily."""

    def __init__(self, lm: LM) -> None:
        self.lm = lm
        self.counts = TokenCounts()

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """The new text of each request, without its stop."""
        instances = [
            Instance("generate_until", {}, (request.text, _settings(request)), index)
            for index, request in enumerate(requests)
        ]
        outputs: list[str] = self.lm.generate_until(instances, disable_tqdm=True)
        return outputs


def _settings(request: Request) -> dict[str, object]:
    return {
        "until": list(request.stop),
        "max_gen_toks": request.max_new_tokens,
        "do_sample": False,
        "temperature": 0.0,
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmEvalModel:
    """One of lm-eval's models. Its own tasks need only `lm`; ours need one that accepts tokens."""

    name: str
    lm: LM

    @property
    def window(self) -> int:
        """Number of tokens of context and answer that are scored: the backend's, but at most the reference's 2,048."""
        return min(int(getattr(self.lm, "max_length", REFERENCE_WINDOW)), REFERENCE_WINDOW)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The backend's tokenizer, read from the file that it saves.

        Raises: ConfigError if the backend cannot score tokens, DataError if its tokenizer has no such file.
        """
        from transformers import PreTrainedTokenizerFast

        if not isinstance(self.lm, TemplateLM) or not getattr(self.lm, "tokenized_requests", True):
            what = "this kind accepts only text, but our prompts are tokens (of separately tokenized pieces)"
            raise ConfigError(self.name, what, "run the suite with `lm_eval --include_path eval_suite` instead")
        found = self.lm.tokenizer
        if not isinstance(found, PreTrainedTokenizerFast):
            what = f"its tokenizer is a {type(found).__name__}, allowed: a fast tokenizer of transformers"
            raise DataError(
                self.name, what, "add tokenizer=DIRECTORY to the arguments, for a directory with a tokenizer.json"
            )
        with tempfile.TemporaryDirectory() as folder:
            found.save_pretrained(folder)
            return Tokenizer(Path(folder) / "tokenizer.json")

    def scorer(self, batch_tokens: int) -> BackendScorer:
        return BackendScorer(self.lm)

    def generator(self, batch_tokens: int) -> BackendGenerator:
        return BackendGenerator(self.lm)


def load_backend(model: str, device: str, dtype: str) -> LmEvalModel:
    """The model named by `lm-eval:KIND,key=value,…`; `device` and `dtype` are defaults for its arguments.

    Raises: ConfigError if lm-eval has no such kind, or refuses the arguments.
    """
    kind, _, arguments = model.removeprefix(LM_EVAL).partition(",")
    settings: dict[str, Any] = {"device": device, "dtype": dtype, **simple_parse_args_string(arguments)}
    try:
        return LmEvalModel(name=model, lm=get_model(kind).create_from_arg_obj(settings))
    except (ValueError, TypeError, OSError, ImportError, AssertionError) as error:
        raise ConfigError(model, f"lm-eval cannot load it: {error}", "`lm_eval ls models` lists the kinds") from error
