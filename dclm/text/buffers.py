"""Arrow string columns as the plain arrays that kernels read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.arrow import Column, from_buffer

_NO_BYTES = np.frombuffer(b"\0", np.uint8)[:0]
_NO_OFFSETS = np.frombuffer(bytes(4), np.int32)


class Utf8(NamedTuple):
    """Row i is `data[offsets[i]:offsets[i + 1]]`. Both are read-only views, so that kernels compile once."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int32]


def utf8(column: Column) -> Utf8:
    """The buffers of a string column, without copying; sliced columns are supported, and null rows appear empty.

    Raises: TypeError for any type other than `pa.string()`.
    """
    if column.type != pa.string():
        raise TypeError(f"expected string, found {column.type}")
    _, offsets, data = column.buffers()
    if len(column) == 0 or offsets is None:
        return Utf8(_NO_BYTES, _NO_OFFSETS)
    start = column.offset
    return Utf8(
        from_buffer(data, np.uint8) if data is not None and data.size else _NO_BYTES,
        from_buffer(offsets, np.int32, start + len(column) + 1)[start:],
    )
