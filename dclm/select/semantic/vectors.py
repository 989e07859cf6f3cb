"""Columns of vectors: fixed-size lists of float16, null if a document has none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import Chunks, Column, list_values
from dclm.core.errors import ConfigError

Vectors = npt.NDArray[np.float32]


def vector_array(vectors: Vectors, present: npt.NDArray[np.bool_]) -> Column:
    """[N, d] as a column of float16; rows that are not `present` are null."""
    flat = pa.array(np.where(present[:, None], vectors, 0).astype(np.float16).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=pa.array(~present))


def unit_vectors(column: Column | Chunks, where: str) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """[N, d], each of length 1, and which rows have a vector that is not zero.

    Raises: ConfigError if the column does not contain vectors of one size.
    """
    kind = column.type
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_floating(kind.value_type):
        raise ConfigError(
            where, f"the column is {kind}, allowed: vectors of one size", "the step `embed` adds such a column"
        )
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    size = kind.list_size
    values = list_values(chunk).slice(chunk.offset * size, len(chunk) * size).to_numpy(zero_copy_only=False)
    vectors = np.nan_to_num(values.astype(np.float32)).reshape(len(chunk), size)
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(1))
    present = np.asarray(chunk.is_valid()) & (length > 0)
    vectors[present] = (vectors[present] / length[present, None]).astype(np.float32)
    return vectors, present
