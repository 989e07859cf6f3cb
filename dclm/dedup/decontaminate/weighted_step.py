"""`decontaminate_weighted`: finds documents that contain a question, by overlap weighted with inverse frequencies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import Column, LargeLists, concatenated, large_list_array, large_lists, strings
from dclm.core.config import Fraction, NonNegative, Positive
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision, Global
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import (
    F64,
    I64,
    U64,
    distinct,
    documents_of,
    edits_table,
    hashes,
    ints,
    no_drops,
    row_of,
    shard_of,
)
from dclm.dedup.decontaminate.item_index import ItemIndex
from dclm.dedup.decontaminate.items import Item, read_items
from dclm.dedup.decontaminate.weighted import (
    EXCERPT,
    REACH,
    Near,
    best_overlaps,
    near_matches,
    question_index,
    weights_of,
)

_GRAM, _DOCUMENTS, _TASK = -1, -2, -3  # `item` in rows that count documents with an n-gram, documents, items
EXAMPLES = 3
_SCHEMA = pa.schema(
    [
        ("key", pa.uint64()),
        ("row", pa.int64()),
        ("item", pa.int64()),
        ("count", pa.int64()),
        ("length", pa.int64()),
        ("comparable", pa.int64()),
        ("grams", pa.large_list(pa.uint64())),
        ("starts", pa.large_list(pa.int64())),
        ("ends", pa.large_list(pa.int64())),
        ("whole", pa.large_list(pa.uint64())),
        ("question", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecontaminateWeighted(Global):
    """Drops documents that contain the question of an evaluation item, cuts the question out, or only reports it.

    An n-gram found in d of the corpus's D documents weighs ln((1 + D) / (1 + d)). A document contains a question if
    n-grams with at least `min_overlap` of its weight occur within twice its length. So common phrases count for little,
    and short n-grams find short questions even if some words differ. Questions below `min_weight` are not searched for.
    Words are compared as in `decontaminate`.

    The report is in the artifact's record: for each task its `items`, those long enough to be searched for
    (`comparable`), those found (`matched`), the `documents` that contain one, and `examples`. The table `contamination`
    (task, item, shard, row, overlap, text, start, end) lists every match.

    Source: see `dclm.dedup.decontaminate.weighted`.
    """

    name: ClassVar[str] = "decontaminate_weighted"

    items: tuple[str, ...]
    """Evaluation files: asset names or paths of .jsonl or .jsonl.gz; the name up to its first dot is the task."""
    ngram: Positive = 3
    """Number of words in an n-gram. Shorter questions are not searched for."""
    min_overlap: Fraction = 0.8
    """Minimum fraction of a question's weight that must occur in a document."""
    min_weight: NonNegative = 12.0
    """If n-grams were independent, a question of weight 12 would occur by chance in one of e^12 = 160,000 documents. In
    small corpora weights are small: an n-gram weighs at most ln(1 + D)."""
    action: Literal["drop", "mask", "report"] = "drop"
    """Whether documents are dropped, masked (counted as edits; those left blank are dropped), or left unchanged.
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
    def memory(self) -> str:
        found = "24 B per word of a question of which half is found in a document"
        return f"40 B per word of the questions; the deciding worker: {found}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the items' files up to the first dot."""
        return tuple(Path(name).name.split(".")[0] for name in self.items)

    def open(self, context: Context) -> MapFunction:
        files = [read_items(context.file(name)) for name in self.items]
        questions = Questions.of(files, self.ngram)
        if not len(questions.ngrams.hashes):
            raise ConfigError(self.name, f"no question in {', '.join(self.tasks)} has {self.ngram} words")

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            near = near_matches(strings(batch.column("text")), questions.ngrams)
            return concatenated([_frequencies(batch, near, questions), _near_rows(batch, near, questions)])

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        item = ints(keys, "item")
        counted = keys.filter(pa.array(item < 0))
        counted = counted.take(np.lexsort((ints(counted, "item"), hashes(counted, "key"))))
        key, kind = hashes(counted, "key"), ints(counted, "item")
        new = (key[1:] != key[:-1]) | (kind[1:] != kind[:-1])
        first = np.flatnonzero(np.append(True, new)[: len(key)])
        sums = np.add.reduceat(ints(counted, "count"), first) if len(first) else np.zeros(0, np.int64)
        one = counted.take(first)
        one = one.set_column(one.column_names.index("count"), "count", pa.array(sums))
        return pa.concat_tables([one, keys.filter(pa.array(item >= 0))])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        table = pa.concat_tables(reduced)
        item = ints(table, "item")
        counts = {name: table.filter(pa.array(item == name)) for name in (_GRAM, _DOCUMENTS, _TASK)}
        near = table.filter(pa.array(item >= 0)).sort_by([("shard", "ascending"), ("row", "ascending")])
        order = np.argsort(hashes(counts[_GRAM], "key"))
        known = hashes(counts[_GRAM], "key")[order], ints(counts[_GRAM], "count")[order]
        total = int(ints(counts[_DOCUMENTS], "count").sum())
        overlap, start, end, weight = _overlaps(near, known, total)
        hit = (overlap >= self.min_overlap) & (weight >= self.min_weight)
        found = near.select(["key", "item", "shard", "row", "question", "text"]).filter(pa.array(hit))
        found = found.append_column("overlap", pa.array(overlap[hit]))
        start, end = start[hit], end[hit]
        document, task = documents_of(found), hashes(found, "key").astype(np.int64)
        named = {int(k): c for k, c in zip(hashes(counts[_TASK], "key"), counts[_TASK].to_pylist(), strict=True)}
        report = {name: self._of_task(found.filter(pa.array(task == t)), named[t]) for t, name in enumerate(self.tasks)}
        return Decision(
            drops=self._drops(task, document, overlap[hit]) if self.action == "drop" else no_drops(),
            edits=[edits_table(document, start, end)] if self.action == "mask" else [],
            info={"documents": len(distinct(document)), "tasks": report},
            tables={"contamination": [self._table(found, task, start, end)]},
        )

    def _of_task(self, found: pa.Table, sizes: dict[str, Any]) -> dict[str, object]:
        best = found.sort_by([("overlap", "descending"), ("item", "ascending"), ("shard", "ascending")])
        examples = best.select(["item", "overlap", "question", "text"]).slice(0, EXAMPLES).to_pylist()
        return {
            "items": sizes["length"],
            "comparable": sizes["comparable"],
            "matched": len(distinct(ints(found, "item"))),
            "documents": len(distinct(documents_of(found))),
            "examples": [{**e, "overlap": round(e["overlap"], 4)} for e in examples],
        }

    def _drops(self, task: I64, document: I64, overlap: F64) -> pa.Table:
        """Each document found, once; its rule is the task of the question with which it overlaps most."""
        order = np.lexsort((task, -overlap, document))
        first = order[np.diff(document[order], prepend=-1) != 0]
        return pa.table(
            {
                "shard": pa.array(shard_of(document[first]), pa.int32()),
                "row": pa.array(row_of(document[first]), pa.int64()),
                "rule": pa.array(self.tasks, pa.string()).take(pa.array(task[first])),
                "similarity": pa.array(overlap[first]),
            }
        )

    def _table(self, found: pa.Table, task: I64, start: I64, end: I64) -> pa.Table:
        names = pa.array(self.tasks, pa.string()).take(task)
        table = found.select(["item", "shard", "row", "overlap", "text"]).add_column(0, "task", names)
        return table.append_column("start", pa.array(start)).append_column("end", pa.array(end))


class Questions(NamedTuple):
    """The questions to search for."""

    ngrams: ItemIndex
    texts: list[str]
    task: I64
    number: I64
    """Line of each item in its file."""
    grams: U64
    """The distinct n-grams of item i: `grams[bounds[i]:bounds[i + 1]]`."""
    bounds: I64

    @staticmethod
    def of(files: list[list[Item]], ngram: int) -> Questions:
        """The questions of tasks."""
        items = [item for file in files for item in file]
        index = question_index(items, ngram)
        task = np.repeat(np.arange(len(files)), [len(file) for file in files])
        order = np.argsort(index.items, kind="stable")
        return Questions(
            ngrams=index,
            texts=[item.question or " ".join(item.texts) for item in items],
            task=task,
            number=np.arange(len(items)) - np.searchsorted(task, task),
            grams=np.repeat(index.hashes, np.diff(index.postings))[order],
            bounds=np.append(0, np.cumsum(index.sizes)),
        )


def _frequencies(batch: pa.RecordBatch, near: Near, questions: Questions) -> pa.RecordBatch:
    """Number of documents of the batch with each n-gram, number of all documents, and sizes of tasks."""
    seen = np.flatnonzero(near.documents)
    tasks = int(questions.task.max(initial=0)) + 1
    sizes = np.bincount(questions.task, minlength=tasks)
    comparable = np.bincount(questions.task, questions.ngrams.sizes > 0, tasks).astype(np.int64)
    key = np.concatenate([questions.ngrams.hashes[seen], np.zeros(1, np.uint64), np.arange(tasks, dtype=np.uint64)])
    kind = np.repeat([_GRAM, _DOCUMENTS, _TASK], [len(seen), 1, tasks])
    count = np.concatenate([near.documents[seen], [batch.num_rows], np.zeros(tasks, np.int64)])
    columns: dict[str, Column] = {
        "key": pa.array(key, pa.uint64()),
        "row": pa.array(np.zeros(len(key), np.int64)),
        "item": pa.array(kind, pa.int64()),
        "count": pa.array(count, pa.int64()),
        "length": pa.array(np.concatenate([np.zeros(len(seen) + 1, np.int64), sizes]), pa.int64()),
        "comparable": pa.array(np.concatenate([np.zeros(len(seen) + 1, np.int64), comparable]), pa.int64()),
    }
    arrays = [columns.get(f.name, pa.nulls(len(key), f.type)) for f in _SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _near_rows(batch: pa.RecordBatch, near: Near, questions: Questions) -> pa.RecordBatch:
    """The documents that contain half of a question, with the n-grams they share and their total."""
    first, last = questions.bounds[near.items], questions.bounds[near.items + 1]
    sizes = last - first
    place = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    text = batch.column("text").take(near.rows)
    parts = zip(text.to_pylist(), near.starts[near.bounds[:-1]], strict=True)
    shown = [(whole or "").encode()[at : at + EXCERPT].decode(errors="replace") for whole, at in parts]
    asked = [questions.texts[i] for i in near.items.tolist()]
    columns: dict[str, Column] = {
        "key": pa.array(questions.task[near.items], pa.uint64()),
        "row": pa.array(batch.column("_row").to_numpy()[near.rows], pa.int64()),
        "item": pa.array(questions.number[near.items], pa.int64()),
        "count": pa.array(np.zeros(len(near.rows), np.int64)),
        "length": pa.array([REACH * len(text.encode()) for text in asked], pa.int64()),
        "comparable": pa.array(np.zeros(len(near.rows), np.int64)),
        "grams": _lists(questions.ngrams.hashes[near.grams], near.bounds, pa.uint64()),
        "starts": _lists(near.starts, near.bounds, pa.int64()),
        "ends": _lists(near.ends, near.bounds, pa.int64()),
        "whole": _lists(questions.grams[place], np.append(0, np.cumsum(sizes)), pa.uint64()),
        "question": pa.array([text[:EXCERPT] for text in asked], pa.string()),
        "text": pa.array(shown, pa.string()),
    }
    return pa.RecordBatch.from_arrays([columns[f.name] for f in _SCHEMA], schema=_SCHEMA)


def _lists(values: I64 | U64, bounds: I64, kind: pa.DataType) -> LargeLists:
    return large_list_array(bounds, pa.array(values, kind))


def _flat(table: pa.Table, name: str) -> tuple[npt.NDArray[Any], I64]:
    lists = large_lists(table.column(name))
    return lists.flatten().to_numpy(), np.append(0, np.cumsum(lists.value_lengths().to_numpy())).astype(np.int64)


def _overlaps(near: pa.Table, known: tuple[U64, I64], total: int) -> tuple[F64, I64, I64, F64]:
    """Best overlap of each row, its position, and the weight of the whole question."""
    if not near.num_rows:
        return np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    grams, bounds = _flat(near, "grams")
    whole, whole_bounds = _flat(near, "whole")
    all_grams = np.unique(whole)
    documents = np.zeros(len(all_grams), np.int64)
    place = np.minimum(np.searchsorted(known[0], all_grams), len(known[0]) - 1)
    there = known[0][place] == all_grams
    documents[there] = known[1][place[there]]
    weights = weights_of(documents, total)
    totals = np.add.reduceat(weights[np.searchsorted(all_grams, whole)], whole_bounds[:-1])
    shared = Near(
        documents=documents,
        rows=np.arange(near.num_rows),
        items=np.arange(near.num_rows),
        bounds=bounds,
        grams=np.searchsorted(all_grams, grams),
        starts=_flat(near, "starts")[0],
        ends=_flat(near, "ends")[0],
    )
    best = best_overlaps(shared, weights, totals, ints(near, "length"))
    return best.overlap, best.starts, best.ends, totals
