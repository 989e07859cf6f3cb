"""Counts: characters are Python's, and ledgers with different annotations can be combined."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from engine_steps import Edit, MinLength, bound, write_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.output.tally import LEDGER_PART, Ledger, merge_ledgers, text_size
from dclm.curate.stage import curate
from dclm.documents.why import fates
from dclm.filters.rules.words import WordCount
from dclm.pool.files import list_files
from dclm.select.quality import Threshold

TEXTS = st.lists(st.none() | st.text(max_size=12), max_size=20)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 5), st.integers(0, 20))
def test_sizes_are_those_of_python(texts: list[str | None], start: int, length: int) -> None:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())}).slice(start, length)
    there = [t for t in texts[start : start + length] if t is not None]
    assert text_size(batch) == (sum(len(t.encode()) for t in there), sum(map(len, there)))


def rows(**annotations: pa.Array) -> pa.RecordBatch:
    columns = {"_row": pa.array([0, 1]), "id": ["a", "b"], "url": [None, "u"], "source": ["f#0", "f#1"]}
    return pa.RecordBatch.from_pydict({**columns, "text": ["é", None], "_words": [1, 2], **annotations})


def test_the_ledger_takes_numbers_and_words_and_nothing_else() -> None:
    ledger = Ledger(0)
    ledger.leave(rows(), "early", 0)
    ledger.leave(rows(score=pa.array([0.5, None]), body=pa.array([b"", b""]), parts=pa.array([[1], [2]])), "late", 1)
    table = ledger.take()
    assert table.column_names == [*LEDGER_PART.names, "score"]
    assert table["characters"].to_pylist() == [1, 1, None, None]
    assert sorted(table["score"].to_pylist(), key=str) == [0.5, None, None, None]


def test_annotations_of_several_types_become_one() -> None:
    ledgers = []
    for a, b in ((pa.array([1, 2]), pa.array([True, False])), (pa.array([0.5, None]), pa.array(["x", "y"]))):
        ledger = Ledger(0)
        ledger.keep(rows(a=a, b=b))
        ledgers.append(ledger.take())
    merged = merge_ledgers([*ledgers, LEDGER_PART.empty_table()])
    assert merged["a"].to_pylist() == [1.0, 2.0, 0.5, None]
    assert merged["b"].to_pylist() == ["true", "false", "x", "y"]


def test_a_record_can_be_asked_why_and_by_how_much(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["a b bad c", "a", "x y z broken", ""]])
    pipeline = bound(Edit(), WordCount(column="n"), Threshold(column="n", min=3), MinLength(characters=2))
    options = CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0)
    curate(pipeline, list_files([str(pool)]), tmp_path / "out", options, SerialEngine())
    found = {i: fates(tmp_path / "out", f"0-{i}")[0] for i in range(4)}
    assert found[0].annotations == {"characters": 6, "n": 3}
    assert (found[1].outcome, found[1].annotations) == ("dropped by threshold", {"characters": 1, "n": 1})
    assert found[2].annotations == {"characters": 12}
    assert found[3].outcome == "dropped by edit"
    kept = pq.read_table(tmp_path / "out" / "documents" / "00000.parquet")
    assert kept["n"].to_pylist() == [3]
    assert pc.sum(pc.utf8_length(kept["text"])).as_py() == 6
