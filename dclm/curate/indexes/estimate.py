"""Estimates the size of an index and the time to build it, from the first documents of its largest file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.stores.store import local_file
from dclm.curate.indexes.units import documents_of_file
from dclm.curate.step import Context
from dclm.dedup.bloom.filter import empty_filter, size_for
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.index.indexed import Indexed, KeyIndexed
from dclm.pool.files import InputFile
from dclm.pool.read import Tally

SAMPLE_ROWS = 512
_PACKED = 3  # bytes of text per byte of a compressed file
_SORTING = 1.5  # factor for reading, writing and sorting keys, relative to making them


class IndexEstimate(NamedTuple):
    """Expected size and cost, in proportion to the files' bytes; within a factor of two for similar files."""

    documents: int
    bytes: int
    """Size of the index."""
    seconds: float
    """CPU seconds."""


def estimate(step: Indexed, files: Sequence[InputFile], room: int | None = None) -> IndexEstimate:
    """The size and cost of the index of these documents."""
    largest = max(files, key=lambda file: file.size)
    batch = next(documents_of_file(largest, Tally()), None)
    if batch is None or batch.num_rows == 0:
        return IndexEstimate(0, 0, 0.0)
    sample = batch.slice(0, SAMPLE_ROWS)
    documents = sum(_documents(file, sample) for file in files)
    _keys_of(step, sample)  # compiles
    started = time.process_time()
    made = _keys_of(step, sample)
    seconds = (time.process_time() - started) * _SORTING / sample.num_rows * documents
    if isinstance(step, Bloom):
        ngrams: int = made // sample.num_rows * documents
        return IndexEstimate(documents, size_for(max(ngrams, room or 0), step.fp_rate).bytes, seconds)
    return IndexEstimate(documents, made * documents // sample.num_rows, seconds)


def _documents(file: InputFile, sample: pa.RecordBatch) -> int:
    """Number of documents in a file: exact for Parquet, otherwise from the average length in the sample."""
    if file.kind == "parquet":
        return int(pq.read_metadata(local_file(file.path)).num_rows)
    packed = 1 if file.path.endswith((".jsonl", ".json", ".ndjson", ".jl")) else _PACKED
    return max(1, int(file.size * packed * sample.num_rows // max(1, sample.column("text").nbytes)))


def _keys_of(step: Indexed, sample: pa.RecordBatch) -> int:
    """Bytes of the sample's keys and sets; for a filter, the number of n-grams added."""
    context = Context()
    if isinstance(step, Bloom):
        step.into(empty_filter(size_for(1 << 16, step.fp_rate)), 1)(sample)
        return step.measure(context)(sample)
    assert isinstance(step, KeyIndexed)
    emit_sets = step.index_sets(context)
    sizes = [emit(sample) for emit in step.index_keys(context).values()]
    total = sum(keys.num_rows * (16 if "check" in keys.schema.names else 8) for keys in sizes)
    if emit_sets is not None:  # then each key also names its document
        total += 12 * sum(keys.num_rows for keys in sizes) + emit_sets(sample).nbytes
    return int(total)
