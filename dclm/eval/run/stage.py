"""The evaluation stage: a model and a suite in, an artifact of scores out.

DIR/scores.json      accuracies with n and standard error, CORE and EXTENDED or null with what is missing
DIR/scores.svg       a picture of the tasks
DIR/items.parquet    every item: `dclm.eval.run.unit.ITEMS`
DIR/texts.parquet    every document whose perplexity was asked for: `dclm.eval.perplexity.DOCUMENTS`
DIR/lm_eval.jsonl    every item of lm-eval's own tasks, where they were asked for
DIR/record.json      written last
DIR/parts/           units that are finished, until the run is
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.engine import Engine, SerialEngine
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import Record, describe_files, find_record, provenance, write_record
from dclm.core.storage import atomic_file, write_atomic
from dclm.eval.perplexity import DOCUMENTS, TEXTS_FILE, TextUnit, perplexity_json, score_texts
from dclm.eval.plot import draw_scores
from dclm.eval.report import scores_json
from dclm.eval.run.job import Job, open_job
from dclm.eval.run.plan import choose_settings
from dclm.eval.run.unit import ITEMS, Unit, UnitCounts, score_unit
from dclm.eval.task import SUITE_DIR

U = TypeVar("U", Unit, TextUnit)
PARTS = "parts"
ITEMS_FILE = "items.parquet"
LM_EVAL_FILE = "lm_eval.jsonl"
SCORES_FILE = "scores.json"
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
    job = open_job(
        model,
        suite=suite,
        tasks=tasks,
        perplexity=perplexity,
        limit=limit,
        settings=choose_settings(device, dtype, batch_tokens),
        folder=folder,
        include_path=include_path,
    )
    found = find_record(out, job.fingerprint)
    if found is not None:
        return found
    counts = _score(job, out, engine or SerialEngine(), progress or NullProgress())
    report = _report(job, out)
    write_atomic(out / SCORES_FILE, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    if job.plan.rows:
        draw_scores(out / PICTURE, report, f"suite {job.plan.suite.name}", folder)
    else:
        (out / PICTURE).unlink(missing_ok=True)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    items = sum(job.plan.rows.values())
    record = Record(
        kind="scores",
        name=job.plan.suite.name,
        fingerprint=job.fingerprint,
        config=job.identity,
        inputs=job.inputs,
        counts={
            "tokens_forwarded": sum(done.forwarded for done in counts),
            "tokens_padding": sum(done.padding for done in counts),
            "items": items,
            "tasks": len(job.plan.rows),
            "missing": dict(job.plan.missing),
        },
        files=describe_files(out, {ITEMS_FILE: items}),
        provenance=provenance(started),
    )
    write_record(out, record)
    return record


def _score(job: Job, out: Path, engine: Engine, progress: Progress) -> list[UnitCounts]:
    """Score every item and document, and put them into the artifact's tables."""
    parts = out / PARTS / job.fingerprint[:16]
    parts.mkdir(parents=True, exist_ok=True)
    units, text_units = job.units(parts), job.text_units(parts)
    run = partial(
        _run,
        engine=engine if job.backend is None else SerialEngine(),
        progress=progress,
        one_gpu_each=job.settings.device == "cuda",
    )
    counts = run(partial(score_unit, candidate=job.backend), units, "items")
    counts += run(partial(score_texts, candidate=job.backend), text_units, "documents")
    _join(units, ITEMS, out / ITEMS_FILE)
    if text_units:
        _join(text_units, DOCUMENTS, out / TEXTS_FILE)
    else:
        (out / TEXTS_FILE).unlink(missing_ok=True)
    return counts


def _report(job: Job, out: Path) -> dict[str, object]:
    """The content of scores.json. lm-eval's own tasks are run here, and their items written."""
    report = scores_json(
        job.plan.suite,
        out / ITEMS_FILE,
        model=job.inputs["model"],
        limit=job.limit,
        window=job.plan.max_seq_len,
        dtype=job.settings.dtype,
        missing=job.plan.missing,
    )
    if job.plan.texts:
        report["perplexity"] = perplexity_json(pq.read_table(out / TEXTS_FILE), job.plan.texts)
    foreign = job.run_foreign()
    if foreign is None:
        (out / LM_EVAL_FILE).unlink(missing_ok=True)
        return report
    lines = "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in foreign.items)
    write_atomic(out / LM_EVAL_FILE, lines.encode())
    return {**report, "lm_eval": foreign.results}


def _run(
    function: Callable[[U], UnitCounts],
    units: list[U],
    what: str,
    *,
    engine: Engine,
    progress: Progress,
    one_gpu_each: bool,
) -> list[UnitCounts]:
    """Do those units of which there is no file yet."""
    todo = [unit for unit in units if not Path(unit.out).exists()]
    progress.start("scoring", len(todo), f"batches of {what}")
    counts = []
    for index, done in engine.map(function, todo, one_gpu_each=one_gpu_each):
        progress.advance(1, done.items, todo[index].name)
        counts.append(done)
    progress.finish()
    return counts


def _join(units: Sequence[Unit | TextUnit], schema: pa.Schema, path: Path) -> None:
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for unit in units:
            table: pa.Table = pq.read_table(unit.out)
            writer.write_table(table)
