"""Arrow columns made from what kernels return, and batches with columns put in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def string_array(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> pa.StringArray:
    """The strings `data[offsets[i]:offsets[i + 1]]`, which must be UTF-8; nothing is copied."""
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def with_columns(batch: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The batch with columns set: in their places where they are there already, else at the end."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    fields = {field.name: field for field in batch.schema}
    for name, array in columns.items():
        known = fields.get(name)
        fields[name] = known if known is not None and known.type == array.type else pa.field(name, array.type)
        arrays[name] = array
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=pa.schema(list(fields.values())))


def with_edits(batch: pa.RecordBatch, text: pa.StringArray, edits: pa.Array, drop: pa.Array) -> pa.RecordBatch:
    """The batch after an edit: its new text, how many edits each row had (`_edits`), which rows to drop (`_drop`)."""
    return with_columns(batch, {"text": text, "_edits": edits, "_drop": drop})
