"""The evaluation stage: a model and a suite in, an artifact of scores out.

DIR/scores.json      accuracies with n and standard error, CORE and EXTENDED or null with what is missing
DIR/items.parquet    every item: `dclm.eval.unit.ITEMS`
DIR/record.json      written last
DIR/parts/           units that are finished, until the run is
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dclm.errors import AssetError, ConfigError
from dclm.eval.data import load_parts
from dclm.eval.prompts import count_rows, generation_room
from dclm.eval.report import scores_json
from dclm.eval.subject import load_subject, model_fingerprint, resolve_model
from dclm.eval.suite import Suite, load_suite, suite_of
from dclm.eval.task import SUITE_DIR
from dclm.eval.unit import ITEMS, ROWS, Unit, UnitCounts, score_unit
from dclm.parallel import Engine, Serial
from dclm.progress import Progress, Silent
from dclm.record import RECORD, Record, describe_files, find_record, fingerprint, provenance, read_record, write_record
from dclm.storage import atomic_file, write_atomic

VERSION = 1
"""Part of the fingerprint: raised whenever scores change."""
PARTS = "parts"
ITEMS_FILE = "items.parquet"
LM_EVAL = "lm-eval:"
"""Before the name of one of lm-eval's own tasks."""
BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be scored, and what cannot be."""

    suite: Suite
    max_seq_len: int
    rows: Mapping[str, int]
    """Task → rows that count."""
    missing: Mapping[str, str]
    """Task → why it cannot be scored."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is run."""

    device: str = "auto"
    dtype: str = "float32"
    batch_tokens: int | None = None
    """Tokens forwarded at once; None: what suits the device."""

    def resolved(self) -> Settings:
        """With a device and a number of tokens."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        tokens = self.batch_tokens or BATCH_TOKENS["cuda" if device.startswith("cuda") else "cpu"]
        return dataclasses.replace(self, device=device, batch_tokens=tokens)


def evaluate(
    model: str,
    out: Path,
    *,
    suite: str | None = None,
    tasks: tuple[str, ...] = (),
    limit: int | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    folder: Path = SUITE_DIR,
) -> Record:
    """Score `model` on a suite or on tasks, and write the artifact `out`.

    A model is a checkpoint, a training run, open_lm's FILE.pt, `hf:DIRECTORY` or `gguf:FILE`.

    A task is a label of ours, or `lm-eval:NAME` for one of lm-eval's own, which counts in no mean of ours.
    `limit` keeps the first rows of each task (of each category where it has them); the scores then say so. What is
    finished of an earlier run with the same settings is used again. A task whose data cannot be had is named missing,
    with the reason, and every mean that needs it is null. `folder` holds the task files.
    Raises: ConfigError (names, nothing to score), DataError (model, data, an item that cannot be scored).
    """
    started = time.time()
    model = resolve_model(model)
    settings = Settings(device=device, dtype=dtype, batch_tokens=batch_tokens).resolved()
    foreign = tuple(name.removeprefix(LM_EVAL) for name in tasks if name.startswith(LM_EVAL))
    chosen = _choose(suite, tuple(name for name in tasks if not name.startswith(LM_EVAL)), foreign, folder)
    plan = make_plan(model, chosen, limit, settings)
    inputs = {"model": model_fingerprint(model), **_checkpoint(model)}
    identity = {
        "version": VERSION, **inputs, "suite": chosen.hash, "scored": sorted(plan.rows), "lm_eval": sorted(foreign),
        "limit": limit, "max_seq_len": plan.max_seq_len, "dtype": dtype,
    }  # fmt: skip
    expected = fingerprint(identity)
    found = find_record(out, expected)
    if found is not None:
        return found
    units = _units(plan, model, limit, settings, out / PARTS / expected[:16])
    counts: dict[str, object] = dict(_score(units, engine or Serial(), progress or Silent()))
    _join(units, out)
    report = scores_json(
        chosen, out / ITEMS_FILE, model=inputs["model"], limit=limit, window=plan.max_seq_len, dtype=dtype,
        missing=plan.missing,
    )  # fmt: skip
    if foreign:
        report["lm_eval"] = _foreign(model, foreign, limit, settings)
    write_atomic(out / "scores.json", (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    shutil.rmtree(out / PARTS, ignore_errors=True)
    items = sum(plan.rows.values())
    counts |= {"items": items, "tasks": len(plan.rows), "missing": dict(plan.missing)}
    record = Record(
        kind="scores", name=chosen.name, fingerprint=expected, config={**identity, **dataclasses.asdict(settings)},
        inputs=inputs, counts=counts, files=describe_files(out, {ITEMS_FILE: items}),
        provenance=provenance(started),
    )  # fmt: skip
    write_record(out, record)
    return record


def _checkpoint(model: str) -> dict[str, str]:
    """The fingerprint of the artifact that `model` is, if it is one: the link to how it was trained."""
    root = Path(model)
    return {"checkpoint": read_record(root).fingerprint} if (root / RECORD).is_file() else {}


def _units(plan: Plan, model: str, limit: int | None, settings: Settings, parts: Path) -> list[Unit]:
    assert settings.batch_tokens is not None
    return [
        Unit(
            task=task, model=model, device=settings.device, dtype=settings.dtype, max_seq_len=plan.max_seq_len,
            batch_tokens=settings.batch_tokens, limit=limit, first=first, last=min(first + ROWS, plan.rows[task.task]),
            out=str(parts / f"{task.task}-{first // ROWS:05d}.parquet"),
        )
        for task in plan.suite.tasks
        for first in range(0, plan.rows.get(task.task, 0), ROWS)
    ]  # fmt: skip


def _foreign(model: str, names: tuple[str, ...], limit: int | None, settings: Settings) -> dict[str, object]:
    from dclm.eval.harness import run_lm_eval

    assert settings.batch_tokens is not None
    subject = load_subject(model, settings.device, settings.dtype)
    return run_lm_eval(subject, names, limit=limit, batch_tokens=settings.batch_tokens)


def make_plan(model: str, suite: Suite, limit: int | None, settings: Settings) -> Plan:
    """Which tasks can be scored: those whose data is there, and whose answers fit the model's window.

    Raises: ConfigError if no task is left.
    """
    if limit is not None and limit < 1:
        raise ConfigError("limit", f"found {limit}, allowed: a number ≥ 1")
    subject = load_subject(model, settings.device, settings.dtype)
    rows: dict[str, int] = {}
    missing: dict[str, str] = {}
    for task in suite.tasks:
        try:
            parts = load_parts(task)
            if task.metadata.kind == "generation":
                generation_room(task, parts, subject.tokenizer, subject.window)
        except (AssetError, ConfigError) as error:
            missing[task.task] = error.problems[0].what
            continue
        rows[task.task] = count_rows(parts, limit)
    if missing and not rows:
        label, reason = next(iter(missing.items()))
        raise ConfigError(f"suite {suite.name}", f"none of its tasks can be scored; {label}: {reason}")
    return Plan(suite=suite, max_seq_len=subject.window, rows=rows, missing=missing)


def _choose(suite: str | None, tasks: tuple[str, ...], foreign: tuple[str, ...], folder: Path) -> Suite:
    if (suite is None) == (not tasks and not foreign):
        raise ConfigError("evaluate", "found both or none of suite and tasks, allowed: one", "pass --suite core")
    return load_suite(suite, folder) if suite is not None else suite_of(tasks, folder)


def _score(units: list[Unit], engine: Engine, progress: Progress) -> dict[str, int]:
    todo = [unit for unit in units if not Path(unit.out).exists()]
    for unit in todo[:1]:
        Path(unit.out).parent.mkdir(parents=True, exist_ok=True)
    progress.start("scoring", len(todo), "batches of items")
    total = UnitCounts(items=0, forwarded=0, padding=0)
    for index, done in engine.map(score_unit, todo):
        progress.advance(1, done.items, todo[index].task.task)
        total = UnitCounts(
            items=total.items + done.items,
            forwarded=total.forwarded + done.forwarded,
            padding=total.padding + done.padding,
        )
    progress.finish()
    return {"tokens_forwarded": total.forwarded, "tokens_padding": total.padding}


def _join(units: list[Unit], out: Path) -> None:
    with atomic_file(out / ITEMS_FILE) as path, pq.ParquetWriter(path, ITEMS, compression="zstd") as writer:
        for unit in units:
            table: pa.Table = pq.read_table(unit.out)
            writer.write_table(table)
