"""The evaluation stage: a model and a suite in, an artifact of scores out.

DIR/scores.json      accuracies with n and standard error, CORE and EXTENDED or null with what is missing
DIR/scores.svg       a picture of the tasks
DIR/items.parquet    every item: `dclm.eval.unit.ITEMS`
DIR/texts.parquet    every document whose perplexity was asked for: `dclm.eval.perplexity.DOCUMENTS`
DIR/lm_eval.jsonl    every item of lm-eval's own tasks, where they were asked for
DIR/record.json      written last
DIR/parts/           units that are finished, until the run is
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.eval.perplexity import DOCUMENTS, TEXTS_FILE, TextUnit, perplexity_json, score_texts, spans
from dclm.eval.plan import Plan, Settings, choose_suite, make_plan
from dclm.eval.plot import draw_scores
from dclm.eval.report import scores_json
from dclm.eval.subject import LM_EVAL, load_subject, model_fingerprint, outline, resolve_model
from dclm.eval.task import SUITE_DIR
from dclm.eval.texts import load_text_set, read_documents
from dclm.eval.unit import ITEMS, ROWS, Unit, UnitCounts, score_unit
from dclm.parallel import Engine, Serial
from dclm.progress import Progress, Silent
from dclm.record import RECORD, Record, describe_files, find_record, fingerprint, provenance, read_record, write_record
from dclm.storage import atomic_file, write_atomic

if TYPE_CHECKING:
    from dclm.eval.backend import BackendSubject
    from dclm.eval.harness import ForeignTasks

U = TypeVar("U", Unit, TextUnit)
VERSION = 3
"""Part of the fingerprint: raised whenever scores change."""
PARTS = "parts"
ITEMS_FILE = "items.parquet"
LM_EVAL_FILE = "lm_eval.jsonl"
PICTURE = "scores.svg"


def evaluate(
    model: str,
    out: Path,
    *,
    suite: str | None = None,
    tasks: tuple[str, ...] = (),
    perplexity: tuple[str, ...] = (),
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    folder: Path = SUITE_DIR,
    include_path: Path | None = None,
) -> Record:
    """Score `model` on a suite or on tasks, and on the texts named in `perplexity`, and write the artifact `out`.

    A model is a checkpoint, a training run, open_lm's FILE.pt, `hf:DIRECTORY`, `gguf:FILE`, or one of lm-eval's:
    `lm-eval:KIND,key=value,…`, which is scored in this process, since lm-eval's backends spread over GPUs themselves.

    A task is a label of ours, or `lm-eval:NAME` for one of lm-eval's own (`include_path` holds more of its task files),
    which counts in no mean of ours. A task whose data cannot be had is named missing, with the reason, and every mean
    that needs it is null. `limit` keeps the first rows of each task (of each category where it has them); the scores
    then say so. What is finished of an earlier run with the same settings is used again. `folder` holds the task files.
    Raises: ConfigError (names, nothing to score), DataError (model, data, an item that cannot be scored).
    """
    started = time.time()
    model = resolve_model(model)
    settings = Settings(device=device, dtype=dtype, batch_tokens=batch_tokens).resolved()
    foreign = _foreign_tasks(tasks, include_path)
    own = tuple(name for name in tasks if not name.startswith(LM_EVAL))
    chosen = choose_suite(suite, own, foreign is not None or bool(perplexity), folder)
    backend = _backend(model, settings)
    texts = [load_text_set(name, folder) for name in dict.fromkeys(perplexity)]
    plan = make_plan(backend or outline(model), chosen, limit, texts)
    inputs = {"model": model_fingerprint(model), **_checkpoint(model)}
    identity = {
        "version": VERSION, **inputs, "suite": chosen.hash, "scored": sorted(plan.rows), "limit": limit,
        "max_seq_len": plan.max_seq_len, "dtype": dtype, "lm_eval": None if foreign is None else foreign.identity(),
        "texts": {text.text: text.hash for text in plan.texts},
    }  # fmt: skip
    expected = fingerprint(identity)
    found = find_record(out, expected)
    if found is not None:
        return found
    parts = out / PARTS / expected[:16]
    units = _units(plan, model, inputs["model"], limit, settings, parts)
    text_units = _text_units(plan, model, inputs["model"], settings, parts)
    if engine is None or backend is not None:
        engine = Serial()
    run = partial(_run, settings=settings, engine=engine, progress=progress or Silent())
    counts = run(partial(score_unit, candidate=backend), units, "items")
    counts += run(partial(score_texts, candidate=backend), text_units, "documents")
    _join(units, ITEMS, out / ITEMS_FILE)
    report = scores_json(
        chosen, out / ITEMS_FILE, model=inputs["model"], limit=limit, window=plan.max_seq_len, dtype=dtype,
        missing=plan.missing,
    )  # fmt: skip
    for name in (TEXTS_FILE, LM_EVAL_FILE, PICTURE):
        (out / name).unlink(missing_ok=True)
    if text_units:
        _join(text_units, DOCUMENTS, out / TEXTS_FILE)
        report["perplexity"] = perplexity_json(pq.read_table(out / TEXTS_FILE), plan.texts)
    if foreign is not None:
        report["lm_eval"] = _run_foreign(model, backend, foreign, limit, settings, out / LM_EVAL_FILE)
    write_atomic(out / "scores.json", (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    if plan.rows:
        draw_scores(out / PICTURE, report, f"suite {chosen.name}", folder)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    items = sum(plan.rows.values())
    record = Record(
        kind="scores", name=chosen.name, fingerprint=expected, config={**identity, **dataclasses.asdict(settings)},
        inputs=inputs,
        counts={**_counts(counts), "items": items, "tasks": len(plan.rows), "missing": dict(plan.missing)},
        files=describe_files(out, {ITEMS_FILE: items}), provenance=provenance(started),
    )  # fmt: skip
    write_record(out, record)
    return record


def _checkpoint(model: str) -> dict[str, str]:
    """The fingerprint of the artifact that `model` is, if it is one: the link to how it was trained."""
    root = Path(model)
    return {"checkpoint": read_record(root).fingerprint} if (root / RECORD).is_file() else {}


def _units(plan: Plan, model: str, model_sha256: str, limit: int | None, settings: Settings, parts: Path) -> list[Unit]:
    assert settings.batch_tokens is not None
    return [
        Unit(
            task=task, model=model, fingerprint=model_sha256, device=settings.device, dtype=settings.dtype,
            max_seq_len=plan.max_seq_len, batch_tokens=settings.batch_tokens, limit=limit,
            first=first, last=min(first + ROWS, plan.rows[task.task]),
            out=str(parts / f"{task.task}-{first // ROWS:05d}.parquet"),
        )
        for task in plan.suite.tasks
        for first in range(0, plan.rows.get(task.task, 0), ROWS)
    ]  # fmt: skip


def _foreign_tasks(tasks: tuple[str, ...], include_path: Path | None) -> ForeignTasks | None:
    names = tuple(name.removeprefix(LM_EVAL) for name in tasks if name.startswith(LM_EVAL))
    if not names:
        return None
    from dclm.eval.harness import ForeignTasks

    found = ForeignTasks(names=names, include_path=include_path)
    _ = found.manager  # a wrong name is told before anything is scored
    return found


def _backend(model: str, settings: Settings) -> BackendSubject | None:
    """The model where it is one of lm-eval's."""
    if not model.startswith(LM_EVAL):
        return None
    from dclm.eval.backend import load_backend

    return load_backend(model, settings.device, settings.dtype)


def _run_foreign(
    model: str,
    backend: BackendSubject | None,
    tasks: ForeignTasks,
    limit: int | None,
    settings: Settings,
    items: Path,
) -> dict[str, dict[str, object]]:
    from dclm.eval.harness import DclmLM, run_lm_eval

    assert settings.batch_tokens is not None
    if backend is not None:
        found = run_lm_eval(backend.lm, tasks, limit=limit)
    else:
        subject = load_subject(model, settings.device, settings.dtype)
        found = run_lm_eval(DclmLM(subject, settings.batch_tokens), tasks, limit=limit)
    write_atomic(items, "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in found.items).encode())
    return found.results


def _text_units(plan: Plan, model: str, model_sha256: str, settings: Settings, parts: Path) -> list[TextUnit]:
    assert settings.batch_tokens is not None
    return [
        TextUnit(
            texts=text, model=model, fingerprint=model_sha256, device=settings.device, dtype=settings.dtype,
            max_seq_len=plan.max_seq_len, batch_tokens=settings.batch_tokens, first=first, last=last,
            out=str(parts / f"text-{text.text}-{first:06d}.parquet"),
        )
        for text in plan.texts
        for first, last in spans(read_documents(text))
    ]  # fmt: skip


def _run(
    function: Callable[[U], UnitCounts],
    units: list[U],
    what: str,
    *,
    settings: Settings,
    engine: Engine,
    progress: Progress,
) -> list[UnitCounts]:
    """Do those units of which there is no file yet."""
    todo = [unit for unit in units if not Path(unit.out).exists()]
    for unit in todo[:1]:
        Path(unit.out).parent.mkdir(parents=True, exist_ok=True)
    progress.start("scoring", len(todo), f"batches of {what}")
    counts = []
    for index, done in engine.map(function, todo, one_gpu_each=settings.device == "cuda"):
        progress.advance(1, done.items, todo[index].name)
        counts.append(done)
    progress.finish()
    return counts


def _counts(counts: list[UnitCounts]) -> dict[str, int]:
    return {
        "tokens_forwarded": sum(done.forwarded for done in counts),
        "tokens_padding": sum(done.padding for done in counts),
    }


def _join(units: Sequence[Unit | TextUnit], schema: pa.Schema, path: Path) -> None:
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for unit in units:
            table: pa.Table = pq.read_table(unit.out)
            writer.write_table(table)
