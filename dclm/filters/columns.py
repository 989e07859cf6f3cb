"""Arrow columns made from the output of kernels, and batches with columns replaced."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.arrow import Column, buffer_of


def string_array(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> pa.StringArray:
    """The strings `data[offsets[i]:offsets[i + 1]]`, which must be UTF-8; nothing is copied."""
    return pa.StringArray.from_buffers(len(offsets) - 1, buffer_of(offsets), buffer_of(data))


def with_columns(batch: pa.RecordBatch, columns: Mapping[str, Column]) -> pa.RecordBatch:
    """The batch with these columns: in place if they already exist, else appended."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    fields = {field.name: field for field in batch.schema}
    for name, array in columns.items():
        known = fields.get(name)
        fields[name] = known if known is not None and known.type == array.type else pa.field(name, array.type)
        arrays[name] = array
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=pa.schema(list(fields.values())))


def with_edits(batch: pa.RecordBatch, text: pa.StringArray, edits: Column, drop: Column) -> pa.RecordBatch:
    """The batch after an edit: its new text, the number of edits per row (`_edits`), the rows to drop (`_drop`)."""
    return with_columns(batch, {"text": text, "_edits": edits, "_drop": drop})
