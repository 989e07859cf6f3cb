"""The ledger says why: the rule a document broke, and for a duplicate the kept document and their similarity."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_steps import Edit, bound, write_pool

from dclm.core.errors import DataError
from dclm.core.stages.engine import SerialEngine
from dclm.curate.batches import NOTHING_LEFT, Flow, Opened
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.curate.step import Context, Filter
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.documents.artifact import Artifact
from dclm.documents.why import Fate, fates
from dclm.filters.rules.fineweb import FinewebQuality
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import PageLength, WordLength
from dclm.filters.rules.repetition import Repetition
from dclm.pool.files import list_files
from dclm.select.quality import Threshold

PROSE = " ".join(f"word{n} of the that and" for n in range(40))
LINE = "This line of the page ends well and is long enough, it has words.\n"
DIFFERENT = "".join(f"{LINE.strip()} Number {n} is said to differ, with a tail.\n" for n in range(5))

BROKEN: tuple[tuple[Filter, str, str | None], ...] = (
    (PageLength(min=2, max=3), "one", "min"),
    (PageLength(min=2, max=3), "one two", None),
    (PageLength(min=2, max=3), "one two three four", "max"),
    (PageLength(of="line", min=2, count_blank=True), "one", "min"),
    (WordLength(min=3, max=4), "", "empty"),
    (WordLength(min=3, max=4), "a", "min"),
    (WordLength(min=3, max=4), "abcde", "max"),
    (Repetition(), "", "empty"),
    (Repetition(), "a b\nc d\ne f\na b\nc d", "max_line_fraction"),
    (Repetition(max_line_fraction=None), "a b\nc d\ne f\na b\nc d", "max_line_char_fraction"),
    (Repetition(), "one two three four five one two", "top_ngrams: 2"),
    (Repetition(top_ngrams={}), "a b c d e x a b c d e y", "repeated_ngrams: 5"),
    (Repetition(), "one two three four five six", None),
    (GopherQuality(), "too few of the words", "min_words"),
    (GopherQuality(max_words=60), PROSE, "max_words"),
    (GopherQuality(), "a of the " * 50, "min_word_length"),
    (GopherQuality(min_words=1), "# " * 30 + "within the words that", "max_symbols_per_word"),
    (GopherQuality(), PROSE.replace("and", "und").replace("the", "der").replace("of", "von").replace("that", "das"),
     "min_stop_words"),
    (GopherQuality(), PROSE, None),
    (GopherRepetition(), "same line\nsame line\nsame line", "max_line_fraction"),
    (GopherRepetition(), "", "empty"),
    (FinewebQuality(), " \n ", "empty"),
    (FinewebQuality(), "no stop at the end of this line of many words, none at all", "min_punctuated_lines"),
    (FinewebQuality(), "Short.\nToo short.\n", "max_short_lines"),
    (FinewebQuality(), LINE * 3, "max_duplicate_chars"),
    (FinewebQuality(), DIFFERENT, None),
)  # fmt: skip


def batch(texts: list[str]) -> pa.RecordBatch:
    names = [str(n) for n in range(len(texts))]
    columns = {"_row": pa.array(range(len(texts)), pa.int64()), "id": names, "url": names, "source": names}
    return pa.RecordBatch.from_pydict({**columns, "text": pa.array(texts, pa.string())})


@pytest.mark.parametrize(("step", "text", "rule"), BROKEN)
def test_a_filter_names_the_rule_that_was_broken(step: Filter, text: str, rule: str | None) -> None:
    flow = Flow(Opened.all([step], 0, Context()), seed=0)
    kept = flow.run(batch([DIFFERENT, text, PROSE]))
    found = {row["id"]: (row["step"], row["rule"]) for row in flow.ledger.take().to_pylist()}
    assert found.get("1") == (None if rule is None else (step.name, rule))
    assert ("1" in kept.column("id").to_pylist()) == (rule is None)


def test_a_value_out_of_bounds_or_none_is_told_apart() -> None:
    flow = Flow(Opened.all([Threshold(column="score", min=1.0, max=2.0)], 0, Context()), seed=0)
    scores = pa.array([0.5, 1.5, 2.5, None, float("nan")])
    flow.run(batch(["a"] * 5).append_column("score", scores))
    rules = {row["id"]: row["rule"] for row in flow.ledger.take().to_pylist()}
    assert rules == {"0": "min", "2": "max", "3": "no_value", "4": "no_value"}


def one(out: Path, name: str) -> Fate:
    (fate,) = fates(out, name)
    return fate


def jaccard(a: str, b: str, n: int) -> float:
    def sets(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    return len(sets(a) & sets(b)) / len(sets(a) | sets(b))


def test_a_duplicate_names_the_document_kept_and_the_similarity(tmp_path: Path) -> None:
    words = [f"w{n}" for n in range(60)]
    near = [*words[:50], "changed", *words[51:]]
    shards = [["alone of its kind", " ".join(words)], [" ".join(near), " ".join(words), "bad"]]
    pool = write_pool(tmp_path / "pool", shards)
    pipeline = bound(Edit(), Exact(), MinHash(ngram=3, bands=20, rows=2, verify=0.5))
    out = tmp_path / "out"
    curate(pipeline, list_files([str(pool)]), out, CurateOptions(unit_bytes=0, shard_bytes=0), SerialEngine())
    kept, same, similar, blank = (one(out, name) for name in ("0-1", "1-1", "1-0", "1-2"))
    assert (kept.outcome, kept.reasons) == ("kept", {})
    assert same.outcome == "dropped by exact"
    assert (same.kept_id, same.kept_url, same.similarity) == ("0-1", kept.url, 1.0)
    assert similar.outcome == "dropped by minhash"
    assert (similar.kept_id, similar.rule) == ("0-1", None)
    assert similar.similarity == pytest.approx(jaccard(" ".join(words), " ".join(near), 3))
    assert (blank.outcome, blank.rule, blank.kept_id) == ("dropped by edit", NOTHING_LEFT, None)
    with pytest.raises(DataError, match="no row 9"):
        Artifact(out).record_at(0, 9)


def test_contamination_names_the_task(tmp_path: Path) -> None:
    item = "which of these answers is the one that nobody would ever have written by chance"
    for task, text in (("first", item), ("second", f"{item} {item}")):
        (tmp_path / f"{task}.jsonl").write_text(json.dumps({"question": text}))
    pool = write_pool(tmp_path / "pool", [["clean", f"{item} and more"], [f"here {item} {item}"]])
    step = Decontaminate(items=tuple(str(tmp_path / f"{task}.jsonl") for task in ("second", "first")))
    out = tmp_path / "out"
    pipeline = bind(Pipeline(name="test", steps=(step,)))
    curate(pipeline, list_files([str(pool)]), out, CurateOptions(unit_bytes=0, shard_bytes=0), SerialEngine())
    ledger = [r for path in Artifact(out).files("ledger") for r in pq.read_table(path).to_pylist()]
    assert {r["id"]: (r["rule"], r["kept_shard"]) for r in ledger} == {
        "0-0": (None, None),
        "0-1": ("second", None),
        "1-0": ("second", None),
    }
