"""lm-eval's own tasks on any model; `DclmLM` makes one of our models an lm-eval model, with the code that scores our
suite."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from dclm.core.config import suggest
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import sha256_file
from dclm.eval.run.eval_model import EvalModel
from dclm.eval.run.forward import Scorer
from dclm.eval.run.generate import Generator
from dclm.eval.run.interface import Request
from dclm.eval.tokenizer import Ids

MAX_NEW_TOKENS = 256
"""lm-eval's default if a task does not state it."""


class DclmLM(TemplateLM):  # type: ignore[misc]
    """Scores and generates with a `EvalModel`; requests with the same context share its forward pass."""

    def __init__(self, eval_model: EvalModel, batch_tokens: int) -> None:
        super().__init__()
        self.eval_model = eval_model
        self.scorer = Scorer(eval_model.model, batch_tokens)
        self.generator = Generator(eval_model.model, eval_model.tokenizer, batch_tokens)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.eval_model.tokenizer.end_id

    @property
    def prefix_token_id(self) -> int:
        """The token before a text without a context."""
        return self.eval_model.tokenizer.start_id

    @property
    def max_length(self) -> int:
        """Number of tokens that the model reads: context and answer without its last token, which is only predicted."""
        return self.eval_model.window

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: object) -> list[int]:
        """Ids of a text, with the special tokens that its tokenizer adds, unless it already begins with one."""
        tokenizer = self.eval_model.tokenizer
        special = not string.startswith(tokenizer.start) if add_special_tokens is None else add_special_tokens
        return list(tokenizer.encode(string, special=special))

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[object, Sequence[int], Sequence[int]]], **kwargs: object
    ) -> list[tuple[float, bool]]:
        items: dict[Ids, list[tuple[int, Ids]]] = {}
        for number, (text, context, answer) in enumerate(requests):
            if not 0 < len(answer) <= self.max_length:
                what = f"found an answer of {len(answer)} tokens, allowed: 1 to {self.max_length}, the model's window"
                raise DataError(f"lm-eval request {number}: {text!r:.80}", what)
            room = self.max_length + 1 - len(answer)
            items.setdefault(tuple(context)[-room:], []).append((number, tuple(answer)))
        scores = self.scorer.score([[(context, answer) for _, answer in group] for context, group in items.items()])
        out: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for group, found in zip(items.values(), scores, strict=True):
            for (number, _), score in zip(group, found, strict=True):
                out[number] = (float(score.logprobs.sum(dtype="float64")), score.greedy)
        return out

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows that do not overlap."""
        windows: list[tuple[object, list[int], list[int]]] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            cut = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for context, answer in map(make_disjoint_window, cut):
                windows.append((None, context, answer))
                owners.append(number)
        totals = [0.0] * len(requests)
        for number, (logprob, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[number] += logprob
        return totals

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, cut before the first stop."""
        asked = [self._request(*request.args) for request in requests]
        outputs = self.generator.generate([request for request, _ in asked])
        return [
            re.split("|".join(map(re.escape, u)), o)[0] if u else o for o, (_, u) in zip(outputs, asked, strict=True)
        ]

    def _request(self, context: str, settings: Mapping[str, Any]) -> tuple[Request, list[str]]:
        asked = normalize_gen_kwargs(dict(settings), MAX_NEW_TOKENS)
        if asked["do_sample"]:
            raise ConfigError("generation", f"found {dict(settings)}, allowed: greedy", "sampling is not supported")
        longest = asked["max_gen_toks"]
        if longest >= self.max_length:
            what = f"found max_gen_toks {longest}, allowed: less than {self.max_length}, the model's window"
            raise ConfigError("generation", what, "score the task with a model that has a longer window")
        until = [text for text in asked["until"] if text]
        prompt = tuple(self.tok_encode(context))[-(self.max_length - longest) :]
        stop = tuple(re.escape(text) for text in until)
        return Request(prompt=prompt, max_new_tokens=longest, stop=stop), until


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmEvalTasks:
    """Some of lm-eval's own tasks, by lm-eval's names (including groups and tags)."""

    names: tuple[str, ...]
    include_path: Path | None = None
    """A folder with additional task files, as for `lm_eval --include_path`."""

    def identity(self) -> dict[str, object]:
        """The settings that affect their scores."""
        files = sorted(p for p in self.include_path.rglob("*") if p.is_file()) if self.include_path else []
        return {
            "tasks": sorted(self.names),
            "version": version("lm_eval"),
            "files": [sha256_file(path) for path in files if path.suffix != ".pyc"],
        }

    @cached_property
    def manager(self) -> TaskManager:
        """lm-eval's index of tasks, which takes seconds to build.

        Raises: ConfigError with the nearest name if it does not know one of `names`.
        """
        manager = TaskManager(include_path=None if self.include_path is None else str(self.include_path))
        for name in self.names:
            if name not in manager.all_tasks:
                hint = suggest(name, manager.all_tasks) or "`lm_eval ls tasks` lists them"
                raise ConfigError(f"lm-eval task {name}", "no such task, group or tag", hint)
        return manager


@dataclasses.dataclass(frozen=True, kw_only=True)
class LmEvalScores:
    """lm-eval's results for a model."""

    results: dict[str, dict[str, Any]]
    """Task → metric → value, with means as computed by lm-eval."""
    items: list[dict[str, Any]]
    """One row per row of a task: its number, the filter, and the metrics of this row."""


def run_lm_eval(lm: LM, tasks: LmEvalTasks, *, limit: int | None) -> LmEvalScores:
    """Run lm-eval's own tasks on a model, by lm-eval's rules. Raises: ConfigError like `LmEvalTasks.manager`."""
    found = simple_evaluate(
        model=lm, tasks=list(tasks.names), task_manager=tasks.manager, limit=limit, bootstrap_iters=0
    )
    items = [
        {
            "task": task,
            "row": sample["doc_id"],
            "filter": sample["filter"],
            "metrics": {name: sample[name] for name in sample["metrics"]},
        }
        for task, samples in found["samples"].items()
        for sample in samples
    ]
    return LmEvalScores(results=found["results"], items=items)
