"""scores.json: every task of EXTENDED has its error, items and clusters, and so do the means."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.cli.reference.files import schemas
from dclm.eval.report import scores_json
from dclm.eval.run.unit import ITEMS
from dclm.eval.scores_file import TextEntry
from dclm.eval.suite import load_suite

ROWS = 40


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty random items of every task, in pairs that share a cluster; half of them in each of two categories."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "task": task.task,
            "row": i,
            "cluster": i // 2 * 2,
            "correct": bool(generator.random() < 0.5),
            "trimmed": i == 0,
            "category": "ab"[i * 2 // ROWS] if task.metadata.categories else None,
        }
        for task in load_suite("extended").tasks
        for i in range(ROWS)
    ]
    path = tmp_path_factory.mktemp("report") / "items.parquet"
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), path)
    return path


def report(items: Path, missing: dict[str, str]) -> dict[str, Any]:
    suite = load_suite("extended")
    return scores_json(suite, items, model="m", limit=None, window=2048, dtype="float32", missing=missing)


def test_every_task_and_every_mean_has_its_error(items: Path) -> None:
    found = report(items, {})
    assert set(found["tasks"]) == set(load_suite("extended").labels)
    for label, task in found["tasks"].items():
        assert (task["n"], task["clusters"], task["trimmed"]) == (ROWS, ROWS // 2, 1), label
        assert 0.03 < task["standard_error"] < 0.2, label
        assert task["rows"] >= 32
    for name in ("core", "extended"):
        for version in ("v1", "v2"):
            assert 0.0 < found[f"{name}_{version}_standard_error"] < 0.1
    assert found["extended_v2_standard_error"] < found["core_v2_standard_error"]


def test_a_mean_without_all_its_tasks_has_neither_value_nor_error(items: Path) -> None:
    found = report(items, {"copa": "no data"})
    assert found["core_v2"] is found["core_v2_standard_error"] is found["extended_v2_standard_error"] is None
    assert found["reasons"] == {"copa": "no data"}
    only_extended = report(items, {"gpqa_main": "encrypted"})
    assert only_extended["core_v2_standard_error"] > 0.0
    assert only_extended["extended_v2"] is None


@pytest.mark.parametrize("missing", [{}, {"copa": "no data"}])
def test_the_form_is_that_of_the_schema(items: Path, missing: dict[str, str]) -> None:
    schema = json.loads(schemas()["scores.schema.json"])
    found = report(items, missing)
    assert ("categories" in found["tasks"]["mmlu_fewshot"], "categories" in found["tasks"]["squad"]) == (True, False)
    jsonschema.validate(found, schema)
    text = TextEntry(
        bits_per_byte=1.0, standard_error=None, bits_per_token=4.0, documents=1, bytes=8, tokens=2, hash="a"
    )
    asked = {**found, "perplexity": {"held out": dataclasses.asdict(text)}, "lm_eval": {"arc": {"acc": 0.5}}}
    jsonschema.validate(asked, schema)
    for name in found:
        with pytest.raises(jsonschema.ValidationError, match=f"'{name}' is a required property"):
            jsonschema.validate({key: value for key, value in found.items() if key != name}, schema)
