"""The evaluation stage: a model and a suite in, an artifact of scores out.

DIR/scores.json      accuracies with n and standard error, CORE and EXTENDED or null with what is missing DIR/scores.svg
a chart of the tasks DIR/bits.svg         a chart of the bits per byte of their right answers DIR/items.parquet    every
item: `dclm.eval.run.unit.ITEMS` DIR/texts.parquet    every document whose perplexity was requested:
`dclm.eval.perplexity.DOCUMENTS` DIR/lm_eval.jsonl    every item of lm-eval's own tasks, if requested DIR/record.json
written last
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.counts import ScoresCounts
from dclm.core.record import Record, describe_files
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.stage import Workspace, publish, run_stage
from dclm.core.storage import is_local
from dclm.core.stores.cache import scratch_directory
from dclm.core.stores.store import join, local_file, open_store
from dclm.eval.perplexity import DOCUMENTS, TEXTS_FILE, TextUnit, perplexity_json, score_texts
from dclm.eval.plot import draw_bits, draw_scores
from dclm.eval.report import scores_json
from dclm.eval.run.eval_model import LM_EVAL
from dclm.eval.run.job import EvalJob, open_job
from dclm.eval.run.plan import choose_settings
from dclm.eval.run.unit import ITEMS, PART, EvalUnit, UnitCounts, counts_of, score_unit
from dclm.eval.task import SUITE_DIR

ITEMS_FILE = "items.parquet"
LM_EVAL_FILE = "lm_eval.jsonl"
SCORES_FILE = "scores.json"
PICTURE = "scores.svg"
BITS_PICTURE = "bits.svg"
FILES = (ITEMS_FILE, TEXTS_FILE, LM_EVAL_FILE, SCORES_FILE, PICTURE, BITS_PICTURE)


def evaluate(
    model: str,
    out: Path | str,
    *,
    suite: str | None = None,
    tasks: tuple[str, ...] = (),
    perplexity: tuple[str, ...] = (),
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    window: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    folder: Path = SUITE_DIR,
    include_path: Path | None = None,
    wait: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Score `model` on a suite or on tasks, and on the texts named in `perplexity`, and write the artifact `out`.

    A model is a checkpoint, a training run, open_lm's FILE.pt, `hf:DIRECTORY`, `gguf:FILE`, or one of lm-eval's:
    `lm-eval:KIND,key=value,…`, which is scored in this process, because lm-eval's backends use several GPUs themselves.

    A task is a label of ours, or `lm-eval:NAME` for one of lm-eval's own (`include_path` is a folder with additional
    task files), which does not count in our means. A task whose data is not available is listed as missing, with the
    reason, and every mean that needs it is null. `limit` keeps the first rows of each task (or of each of its
    categories); the scores then state the limit. `window` is the maximum length of a text in tokens, for a model whose
    files do not state it. Finished parts of an earlier run with the same settings are reused. `folder` contains the
    task files.
    Raises: ConfigError (names, nothing to score), DataError (model, data, an item that cannot be scored).
    """
    started = time.time()
    engine = engine or SerialEngine()
    here = model.startswith(LM_EVAL) or any(task.startswith(LM_EVAL) for task in tasks)
    gpus = engine.gpus if device == "auto" and not here else None
    settings = choose_settings(device, dtype, batch_tokens, gpus)
    if gpus == 0:
        say("device: cpu, since no node of the cluster has a GPU; pass --device cuda to wait for one")
    job = open_job(
        model,
        suite=suite,
        tasks=tasks,
        perplexity=perplexity,
        limit=limit,
        settings=settings,
        folder=folder,
        include_path=include_path,
        window=window,
    )
    return run_stage(
        out,
        kind="scores",
        identity=job.fingerprint,
        make=lambda space: _make(job, space, folder),
        engine=engine,
        progress=progress or NullProgress(),
        inputs=[model.rpartition(":")[2] if is_local(model) else model],
        started=started,
        wait=wait,
        force=force,
        say=say,
    )


def _make(job: EvalJob, space: Workspace, folder: Path) -> Record:
    with scratch_directory(space.out if is_local(space.out) else None) as scratch:
        counts = _score(job, space, scratch)
        report = _report(job, scratch)
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        (scratch / SCORES_FILE).write_text(text, encoding="utf-8")
        if job.plan.rows:
            draw_scores(scratch / PICTURE, report, f"suite {job.plan.suite.name}", folder)
            draw_bits(scratch / BITS_PICTURE, report, f"suite {job.plan.suite.name}")
        items = sum(job.plan.rows.values())
        files = describe_files(scratch, {ITEMS_FILE: items})
        publish(scratch, space.out)
    mine = {entry.path for entry in files}
    open_store(space.out).delete(name for name in FILES if name not in mine)
    return Record(
        kind="scores",
        name=job.plan.suite.name,
        fingerprint=job.fingerprint,
        config=job.identity,
        inputs=job.inputs,
        input_digests=job.input_digests,
        counts=ScoresCounts(
            tokens_forwarded=sum(done.forwarded for done in counts),
            tokens_padding=sum(done.padding for done in counts),
            items=items,
            tasks=len(job.plan.rows),
            missing=dict(job.plan.missing),
        ).plain(),
        files=files,
    )


def _score(job: EvalJob, space: Workspace, scratch: Path) -> list[UnitCounts]:
    """Score every item and document, and add them to the artifact's tables."""
    if job.backend is not None:
        space.engine = SerialEngine()  # the model is in this process
    one_gpu_each = job.settings.device == "cuda"
    counts: list[UnitCounts] = []
    tables: tuple[tuple[Any, list[Any], pa.Schema, str, str], ...] = (
        (score_unit, job.units(space.work), ITEMS, ITEMS_FILE, "items"),
        (score_texts, job.text_units(space.work), DOCUMENTS, TEXTS_FILE, "documents"),
    )
    for function, units, schema, name, label in tables:
        score = partial(function, candidate=job.backend)
        done = space.run_units(
            score,
            units,
            f"score {label}",
            total=len(units),
            items=lambda outcome: counts_of(outcome).items,
            one_gpu_each=one_gpu_each,
        )
        counts += [counts_of(each.outcome) for each in sorted(done, key=lambda each: each.index)]
        if units or name == ITEMS_FILE:
            _join(units, schema, scratch / name)
    return counts


def _report(job: EvalJob, out: Path) -> dict[str, object]:
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
    found = job.run_lm_eval_tasks()
    if found is None:
        return report
    lines = "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in found.items)
    (out / LM_EVAL_FILE).write_text(lines, encoding="utf-8")
    return {**report, "lm_eval": found.results}


def _join(units: Sequence[EvalUnit | TextUnit], schema: pa.Schema, path: Path) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for unit in units:
            table: pa.Table = pq.read_table(local_file(join(unit.directory, PART)))
            writer.write_table(table)
