"""One prepared evaluation: what is scored and how, the fingerprint of its scores, and its units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dclm.core.record import RECORD, Record, fingerprint, read_record
from dclm.core.stores.store import exists, join
from dclm.eval.perplexity import TextUnit, spans
from dclm.eval.run.eval_model import LM_EVAL, load_eval_model, model_fingerprint, outline, resolve_model
from dclm.eval.run.plan import EvalPlan, Settings, choose_suite, make_plan
from dclm.eval.run.unit import EvalUnit, Setup
from dclm.eval.texts import load_text_set, read_documents
from dclm.model.load import HUGGING_FACE

if TYPE_CHECKING:
    from dclm.eval.lm_eval.backend import LmEvalModel
    from dclm.eval.lm_eval.harness import LmEvalScores, LmEvalTasks

ROWS = 512
"""Number of a task's rows in a unit."""
VERSION = 11
"""Part of the fingerprint: raised whenever scores change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalJob:
    """The resolved form of a call of `dclm.eval.run.stage.evaluate`."""

    model: str
    inputs: Mapping[str, str]
    """Fingerprints of the model's files, and of the artifact that they belong to, if any."""
    input_digests: Mapping[str, str]
    """Digest of that artifact's record."""
    plan: EvalPlan
    limit: int | None
    settings: Settings
    backend: LmEvalModel | None
    """The model, if it is one of lm-eval's models."""
    lm_eval_tasks: LmEvalTasks | None
    """lm-eval's own tasks."""

    @cached_property
    def identity(self) -> dict[str, object]:
        """Everything that affects the bytes of the scores.

        Device and batch size change the last digits, which may decide a tie, so they count. If there are several GPUs,
        any of them may do the work, so neither its index nor its model counts.
        """
        return {
            "version": VERSION,
            **self.inputs,
            "suite": self.plan.suite.hash,
            "scored": sorted(self.plan.rows),
            "limit": self.limit,
            "max_seq_len": self.plan.max_seq_len,
            **dataclasses.asdict(self.settings),
            "device": self.settings.device.partition(":")[0],
            "lm_eval": None if self.lm_eval_tasks is None else self.lm_eval_tasks.identity(),
            "texts": {text.text: text.hash for text in self.plan.texts},
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.identity)

    @property
    def setup(self) -> Setup:
        """The setup with which every unit is scored."""
        return Setup(
            model=self.model,
            fingerprint=self.inputs["model"],
            settings=self.settings,
            max_seq_len=self.plan.max_seq_len,
        )

    def units(self, work: str) -> list[EvalUnit]:
        """The rows of all tasks, cut into units that are published below `work`."""
        return [
            EvalUnit(
                setup=self.setup,
                task=task,
                limit=self.limit,
                first=first,
                last=min(first + ROWS, self.plan.rows[task.task]),
                fingerprint=fingerprint([self.fingerprint, task.task, first]),
                directory=join(work, self.fingerprint[:16], f"{task.task}-{first // ROWS:05d}"),
            )
            for task in self.plan.suite.tasks
            for first in range(0, self.plan.rows.get(task.task, 0), ROWS)
        ]

    def text_units(self, work: str) -> list[TextUnit]:
        """The documents of all texts, cut likewise."""
        return [
            TextUnit(
                setup=self.setup,
                texts=text,
                first=first,
                last=last,
                fingerprint=fingerprint([self.fingerprint, "text", text.text, first]),
                directory=join(work, self.fingerprint[:16], f"text-{text.text}-{first:06d}"),
            )
            for text in self.plan.texts
            for first, last in spans(read_documents(text))
        ]

    def run_lm_eval_tasks(self) -> LmEvalScores | None:
        """The scores of lm-eval's own tasks, by lm-eval's rules; None if none were requested."""
        if self.lm_eval_tasks is None:
            return None
        from dclm.eval.lm_eval.harness import DclmLM, run_lm_eval

        if self.backend is not None:
            return run_lm_eval(self.backend.lm, self.lm_eval_tasks, limit=self.limit)
        model = load_eval_model(self.model, self.settings.device, self.settings.dtype, self.plan.max_seq_len)
        return run_lm_eval(DclmLM(model, self.settings.batch_tokens), self.lm_eval_tasks, limit=self.limit)


def open_job(
    model: str,
    *,
    suite: str | None,
    tasks: Sequence[str],
    perplexity: Sequence[str],
    limit: int | None,
    settings: Settings,
    folder: Path,
    include_path: Path | None,
    window: int | None = None,
) -> EvalJob:
    """Find model, tasks and texts, and determine which of them can be scored. Raises: the errors that `evaluate` raises
    before scoring."""
    model = resolve_model(model)
    lm_eval_tasks = _lm_eval_tasks(tasks, include_path)
    own = tuple(name for name in tasks if not name.startswith(LM_EVAL))
    chosen = choose_suite(suite, own, lm_eval_tasks is not None or bool(perplexity), folder)
    backend = _backend(model, settings)
    texts = [load_text_set(name, folder) for name in dict.fromkeys(perplexity)]
    checkpoint = _checkpoint(model)
    inputs = {} if checkpoint is None else {"checkpoint": checkpoint.fingerprint}
    return EvalJob(
        model=model,
        inputs={"model": model_fingerprint(model), **inputs},
        input_digests={"checkpoint": checkpoint.digest} if checkpoint is not None and checkpoint.digest else {},
        plan=make_plan(backend or outline(model, window), chosen, limit, texts),
        limit=limit,
        settings=settings,
        backend=backend,
        lm_eval_tasks=lm_eval_tasks,
    )


def _checkpoint(model: str) -> Record | None:
    """The record of the artifact that `model` is, if it is one: the link to how it was trained."""
    if model.startswith((LM_EVAL, HUGGING_FACE)) or not exists(join(model, RECORD)):
        return None
    return read_record(model)


def _lm_eval_tasks(tasks: Sequence[str], include_path: Path | None) -> LmEvalTasks | None:
    names = tuple(name.removeprefix(LM_EVAL) for name in tasks if name.startswith(LM_EVAL))
    if not names:
        return None
    from dclm.eval.lm_eval.harness import LmEvalTasks

    found = LmEvalTasks(names=names, include_path=include_path)
    _ = found.manager  # report a wrong name before anything is scored
    return found


def _backend(model: str, settings: Settings) -> LmEvalModel | None:
    if not model.startswith(LM_EVAL):
        return None
    from dclm.eval.lm_eval.backend import load_backend

    return load_backend(model, settings.device, settings.dtype)
