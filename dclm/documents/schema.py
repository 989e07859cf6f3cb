"""Arrow schemas of what flows: pages (before extraction), documents (after it), ledger rows."""

from __future__ import annotations

import pyarrow as pa

PAGE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # WARC-Record-ID, or a hash of `source` where there is none
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),  # as the record has it, ISO 8601 for WARC
        pa.field("content_type", pa.string()),  # of the HTTP response (or of the record, where it is not HTTP)
        pa.field("source", pa.string(), nullable=False),  # "file#offset": byte offset in WARC, row in JSONL and Parquet
        pa.field("body", pa.binary()),  # payload, transfer and content encodings undone
    ]
)
"""One crawled page. `read` rejects what has no body; `extract` turns `body` into `text`."""

DOCUMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string()),
    ]
)
"""One document. Steps may add columns; those whose name starts with "_" are scratch and never written."""

LEDGER = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("step", pa.string()),  # null: kept
        pa.field("step_index", pa.int32()),  # place in the pipeline's list; -1: the reader; null: kept
        pa.field("reason", pa.string()),  # null: kept, or dropped by a decision; else why the row is a reject
        pa.field("rule", pa.string()),  # the rule of the step that a dropped document broke; null: it has a single one
        pa.field("kept_shard", pa.int32()),  # the document kept in its place stands in this shard's ledger …
        pa.field("kept_row", pa.int64()),  # … at this row, counted from 0; null: it is no duplicate
        pa.field("similarity", pa.float64()),  # Jaccard index of the two; 1: they are equal; null: not computed
        pa.field("characters", pa.int64()),  # code points of its text when it left; null: it had none yet
    ]
)
"""One row for every record read, in document order. After these columns stand the annotations that steps had given the
record by then, such as `language_score`, under their own names."""
