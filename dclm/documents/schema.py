"""Arrow schemas: pages (before extraction), documents (after it), ledger rows."""

from __future__ import annotations

import pyarrow as pa

from dclm.core.arrow import schema_of

SOURCE_NAME = "source_name"
"""Column of the name of a recipe's source, where documents of several sources were put together."""

PAGE = schema_of(
    pa.field("id", pa.string(), nullable=False),  # WARC-Record-ID, or a hash of `source` if none exists
    pa.field("url", pa.string()),
    pa.field("date", pa.string()),  # as in the record, ISO 8601 for WARC
    pa.field("content_type", pa.string()),  # of the HTTP response (or of the record, if it is not HTTP)
    pa.field("source", pa.string(), nullable=False),  # "file#offset": byte offset in WARC, row in JSONL and Parquet
    pa.field("body", pa.binary()),  # payload with transfer and content encodings undone
)
"""One crawled page. `read` rejects records without a body; `extract` turns `body` into `text`."""

DOCUMENT = schema_of(
    pa.field("id", pa.string(), nullable=False),
    pa.field("url", pa.string()),
    pa.field("date", pa.string()),
    pa.field("source", pa.string(), nullable=False),
    pa.field("text", pa.string()),
)
"""One document. Steps may add columns; those whose name starts with "_" are scratch and never written."""

LEDGER = schema_of(
    pa.field("id", pa.string(), nullable=False),
    pa.field("url", pa.string()),
    pa.field("source", pa.string(), nullable=False),
    pa.field("step", pa.string()),  # null: kept
    pa.field("step_index", pa.int32()),  # index in the pipeline's list; -1: the reader; null: kept
    pa.field("reason", pa.string()),  # null: kept, or dropped by a decision; otherwise why the row is a reject
    pa.field("rule", pa.string()),  # the rule of the step that a dropped document broke; null: it has only one
    pa.field("kept_shard", pa.int32()),  # the document kept instead is in this shard's ledger …
    pa.field("kept_row", pa.int64()),  # … at this row, counted from 0; null: not a duplicate
    pa.field("similarity", pa.float64()),  # Jaccard index of the two; 1: they are equal; null: not computed
    pa.field("characters", pa.int64()),  # code points of its text when it left; null: it had no text yet
)
"""One row per record read, in document order. These columns are followed by the annotations that steps had added by
then, such as `language_score`, under their own names."""
