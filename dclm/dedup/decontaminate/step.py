"""`decontaminate`: finds documents that contain text of evaluation items, and reports how many items of each task
occur."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, strings
from dclm.core.config import Positive
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision, Global
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import I64, distinct, documents_of, edits_table, ints, no_drops, row_of, shard_of
from dclm.dedup.decontaminate.item_index import SharedNgrams, build_index
from dclm.dedup.decontaminate.items import Item, read_items
from dclm.dedup.decontaminate.questions import ANCHOR, SharedQuestions, build_questions

_NO_ITEM = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decontaminate(Global):
    """Drops documents that contain text of evaluation items, cuts that text out, or only reports it.

    Items are the lines of JSONL files, one file per task. With `ngram`, all of an item's strings count (questions,
    answers, choices, passages), each by itself. With `question_option`, a document must contain a whole question and,
    elsewhere, one of its options; questions of fewer than five words are not searched for. Words are separated by
    whitespace and dashes, and compared without case, punctuation of any script, accents and other variants of
    typography (see `normalize: lower_no_punctuation` of `minhash`).

    The report is in the artifact's record: documents found, and for each task its `items`, those long enough to be
    found (`comparable`), those found in any document (`matched`), and the documents that contain one (`documents`). The
    table `contamination` (task, item, shard, row) lists what was found where.

    Source: 13-grams as in GPT-3 (Brown et al. 2020, appendix C); DCLM section 4.6 for question and option, whose text
    DCLM cut out (`action: mask`).
    """

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 3

    items: tuple[str, ...]
    """Evaluation files: asset names or paths of .jsonl or .jsonl.gz; the part of the name before the first dot is the
    task."""
    rule: Literal["ngram", "question_option"] = "ngram"
    """What counts as contamination: shared n-grams, or a question together with an option."""
    ngram: Positive = 13
    """Number of words in an n-gram."""
    min_matches: Positive = 1
    """Minimum number of n-grams found (with repeats) in a contaminated document. For `rule: ngram`."""
    last_sentence: bool = False
    """Only the last sentence of a question counts, as in DCLM for MMLU. For `rule: question_option`."""
    action: Literal["drop", "mask", "report"] = "drop"
    """Whether documents are dropped, lose the text found (counted as edits; documents left blank are dropped), or stay
    unchanged.
    """

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("`items` needs at least one file")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"two files of the same name in `items`: {', '.join(self.tasks)}")

    @property
    def assets(self) -> tuple[str, ...]:
        return self.items

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the items' files up to the first dot."""
        return tuple(Path(name).name.split(".")[0] for name in self.items)

    def open(self, context: Context) -> MapFunction:
        files = [read_items(context.file(name)) for name in self.items]
        items = [item for file in files for item in file]
        search = self._search(items)
        task = np.repeat(np.arange(len(files)), [len(file) for file in files])
        number = np.arange(len(items)) - np.searchsorted(task, task)  # in its file
        tasks = np.arange(len(files))
        sizes = np.bincount(task, minlength=len(files))
        comparable = np.bincount(task, search.sizes > 0, len(files)).astype(np.int64)

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = search(strings(batch.column("text")))
            rows = batch.column("_row").to_numpy()[found.rows]
            none = np.full(len(files), _NO_ITEM)  # a row of each task without an item, for tasks that occur nowhere
            key = np.concatenate([tasks, task[found.items]])
            columns = {
                "row": np.concatenate([none, rows]),
                "item": np.concatenate([none, number[found.items]]),
                "start": np.concatenate([none, found.starts]),
                "end": np.concatenate([none, found.ends]),
                "size": sizes[key],
                "comparable": comparable[key],
            }
            return pa.RecordBatch.from_pydict({"key": pa.array(key, pa.uint64()), **_arrays(columns)})

        return emit

    def _search(self, items: list[Item]) -> SharedNgrams | SharedQuestions:
        where = ", ".join(self.tasks)
        if self.rule == "ngram":
            ngrams = build_index([item.texts for item in items], self.ngram)
            if not len(ngrams.hashes):
                raise ConfigError(self.name, f"no string in {where} has {self.ngram} words", "use a smaller `ngram`")
            return SharedNgrams(ngrams, self.min_matches)
        questions = build_questions(items, self.last_sentence)
        if not questions.sizes.any():
            what = f"no item in {where} has a question of {ANCHOR} words and options"
            raise ConfigError(self.name, what, "use `rule: ngram`")
        return SharedQuestions(questions)

    def reduce(self, keys: pa.Table) -> pa.Table:
        item = ints(keys, "item")
        first = np.zeros(len(item), np.bool_)
        bare = np.flatnonzero(item == _NO_ITEM)
        first[bare[np.unique(ints(keys, "key")[bare], return_index=True)[1]]] = True
        return keys.filter(pa.array(first | (item != _NO_ITEM)))

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        found = pa.concat_tables(reduced)
        hits = found.filter(pc.not_equal(found.column("item"), pa.scalar(_NO_ITEM)))
        task, item, document = ints(hits, "key"), ints(hits, "item"), documents_of(hits)
        report: dict[str, object] = {}
        for row in found.filter(pc.equal(found.column("item"), pa.scalar(_NO_ITEM))).sort_by("key").to_pylist():
            mine = task == row["key"]
            report[self.tasks[row["key"]]] = {
                "items": row["size"],
                "comparable": row["comparable"],
                "matched": len(distinct(item[mine])),
                "documents": len(distinct(document[mine])),
            }
        documents = distinct(document)
        return Decision(
            drops=self._drops(task, document) if self.action == "drop" else no_drops(),
            edits=[edits_table(document, ints(hits, "start"), ints(hits, "end"))] if self.action == "mask" else [],
            info={"documents": len(documents), "tasks": report},
            tables={"contamination": [self._table(task, item, document)]},
        )

    def _drops(self, task: I64, document: I64) -> pa.Table:
        """Each document found, once; its rule is the first task of which it contains an item."""
        order = np.lexsort((task, document))
        first = order[np.diff(document[order], prepend=-1) != 0]
        return pa.table(
            {
                "shard": pa.array(shard_of(document[first]), pa.int32()),
                "row": pa.array(row_of(document[first]), pa.int64()),
                "rule": pa.array(self.tasks, pa.string()).take(pa.array(task[first])),
            }
        )

    def _table(self, task: I64, item: I64, document: I64) -> pa.Table:
        triples = np.unique(np.stack([task, item, document]), axis=1)
        return pa.table(
            {
                "task": pa.array(self.tasks).take(pa.array(triples[0])),
                "item": pa.array(triples[1]),
                "shard": pa.array(shard_of(triples[2]), pa.int32()),
                "row": pa.array(row_of(triples[2]), pa.int64()),
            }
        )


def _arrays(columns: dict[str, I64]) -> dict[str, Column]:
    return {name: pa.array(values, pa.int64()) for name, values in columns.items()}
