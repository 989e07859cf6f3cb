"""The plan of an evaluation: how the model is run, which tasks can be scored, and which cannot and why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from dclm.core.errors import AssetError, ConfigError
from dclm.eval.data.load import load_parts
from dclm.eval.kinds.registry import kind_of
from dclm.eval.prompts import count_rows, generation_room
from dclm.eval.run.eval_model import DTYPES, Outline, model_bytes, resolve_model
from dclm.eval.run.interface import Candidate
from dclm.eval.suite import Suite, load_suite, suite_of
from dclm.eval.texts import TextSet, read_documents

BATCH_TOKENS = {"cpu": 512, "cuda": 32_768}
"""On a CPU, the activations of few tokens stay in its caches."""
COPIES = 4
"""A worker needs memory for this many copies of a model's files: weights in float32, activations, a cache."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """What will be scored, and what cannot be."""

    suite: Suite
    texts: tuple[TextSet, ...]
    """Texts for perplexity."""
    max_seq_len: int
    rows: Mapping[str, int]
    """Task → number of rows that count."""
    missing: Mapping[str, str]
    """Task, or `text NAME` → why it cannot be scored."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is run."""

    device: str
    dtype: str
    batch_tokens: int
    """Tokens per forward pass."""


def choose_settings(device: str, dtype: str, batch_tokens: int | None, gpus: int | None = None) -> Settings:
    """`auto` uses a GPU if the machines that run units have one; `batch_tokens=None` uses the device's default.

    gpus: number of GPUs of the nodes that run units; None: units run on this machine.

    Raises: ConfigError for an unknown dtype.
    """
    if dtype not in DTYPES:
        raise ConfigError("dtype", f"found {dtype!r}, allowed: {', '.join(DTYPES)}")
    if device == "auto":
        device = "cuda" if (torch.cuda.is_available() if gpus is None else gpus) else "cpu"
    suited = BATCH_TOKENS["cuda" if device.startswith("cuda") else "cpu"]
    return Settings(device=device, dtype=dtype, batch_tokens=batch_tokens or suited)


def make_plan(model: Outline | Candidate, suite: Suite, limit: int | None, texts: Sequence[TextSet] = ()) -> EvalPlan:
    """Which tasks can be scored: those whose data is available, and whose answers fit the model's window; and which
    texts.

    Raises: ConfigError if nothing is left.
    """
    if limit is not None and limit < 1:
        raise ConfigError("limit", f"found {limit}, allowed: a number ≥ 1")
    rows: dict[str, int] = {}
    missing: dict[str, str] = {}
    for task in suite.tasks:
        try:
            parts = load_parts(task)
            if kind_of(task).generates:
                generation_room(task, parts, model.tokenizer, model.window)
        except (AssetError, ConfigError) as error:
            missing[task.task] = error.problems[0].what
            continue
        rows[task.task] = count_rows(parts, limit)
    found = []
    for text in texts:
        try:
            read_documents(text)
            found.append(text)
        except AssetError as error:
            missing[f"text {text.text}"] = error.problems[0].what
    if missing and not rows and not found:
        label, reason = next(iter(missing.items()))
        raise ConfigError(f"suite {suite.name}", f"none of its tasks can be scored; {label}: {reason}")
    return EvalPlan(suite=suite, texts=tuple(found), max_seq_len=model.window, rows=rows, missing=missing)


def choose_suite(suite: str | None, tasks: tuple[str, ...], others: bool, folder: Path) -> Suite:
    """The suite named `suite`, or one of `tasks`; `others`: something else is also scored. Raises: ConfigError."""
    if (suite is not None and tasks) or (suite is None and not tasks and not others):
        raise ConfigError(
            "evaluate", "found both or neither of suite and tasks, allowed: one of them", "pass --suite core"
        )
    return load_suite(suite, folder) if suite is not None else suite_of(tasks, folder)


def workers_that_fit(model: str) -> int:
    """One worker per core, as long as their copies of the model fit into the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(os.cpu_count() or 1, memory // (COPIES * model_bytes(resolve_model(model)))))
