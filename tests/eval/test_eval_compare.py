"""Comparing two models: the pairing, the signs, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dclm.errors import DataError, IncompleteError
from dclm.eval.compare import compare
from dclm.eval.unit import ITEMS
from dclm.record import Record, write_record


def artifact(folder: Path, correct: dict[str, list[bool]]) -> Path:
    folder.mkdir()
    rows = [
        {"task": label, "row": i, "cluster": i, "correct": right, "trimmed": False}
        for label, rights in correct.items()
        for i, right in enumerate(rights)
    ]
    pq.write_table(pa.Table.from_pylist(rows, ITEMS), folder / "items.parquet")
    write_record(folder, Record(kind="scores", name="t", fingerprint="f", config={}))
    return folder


def test_a_better_model_is_found_better_and_pairing_makes_it_sure(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weak = generator.random(400) < 0.5
    strong = weak | (generator.random(400) < 0.1)
    a = artifact(tmp_path / "a", {"piqa": weak.tolist(), "copa": [True, False]})
    b = artifact(tmp_path / "b", {"piqa": strong.tolist(), "boolq": [True]})
    found = compare(a, b)
    d = found.tasks["piqa"]
    assert d.value == pytest.approx(float(strong.mean() - weak.mean()))
    assert d.low > 0.0
    assert d.probability > 0.999
    assert d.standard_error < 0.5 * (0.25 / 400 * 2) ** 0.5
    assert found.common.value == pytest.approx(d.value / 0.5)
    assert found.core is None
    assert found.only_in_one == ("boolq", "copa")
    back = compare(b, a)
    assert back.common.value == pytest.approx(-found.common.value)
    assert back.common.probability == pytest.approx(1.0 - found.common.probability)


def test_a_model_is_as_good_as_itself(tmp_path: Path) -> None:
    a = artifact(tmp_path / "a", {"piqa": [True, False, True]})
    found = compare(a, a)
    assert (found.common.value, found.common.probability) == (0.0, 0.5)


def test_other_rows_and_other_tasks_are_refused(tmp_path: Path) -> None:
    a = artifact(tmp_path / "a", {"piqa": [True, False, True]})
    with pytest.raises(DataError, match="3 rows here and 2 there"):
        compare(a, artifact(tmp_path / "b", {"piqa": [True, False]}))
    with pytest.raises(DataError, match="no task in common"):
        compare(a, artifact(tmp_path / "c", {"copa": [True]}))
    with pytest.raises(IncompleteError):
        compare(a, tmp_path)
