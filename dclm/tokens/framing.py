"""The ids of documents as one stream, each between the tokens that begin and end a document."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import Column, buffer_of, enclosed, from_buffer
from dclm.tokens.runs import Rows
from dclm.tokens.tokenizer import Encoded


def chosen_ids(encoded: Encoded, chosen: npt.NDArray[np.bool_]) -> Encoded:
    """The ids of some documents."""
    lengths = np.diff(encoded.offsets)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    return Encoded(encoded.ids[np.repeat(chosen, lengths)], offsets)


def framed(encoded: Encoded, bos_id: int | None, eot_id: int, dtype: str) -> Rows:
    """The ids of all documents, each between BOS (if there is one) and EOT, with this type.

    Arrow joins them as strings of bytes: it copies a document at once, whereas numpy.insert looks at every id.
    """
    kind, count = np.dtype(dtype), len(encoded.offsets) - 1
    ids, ends = buffer_of(encoded.ids.astype(kind)), buffer_of(encoded.offsets * kind.itemsize)
    documents: Column = pa.Array.from_buffers(pa.large_binary(), count, [None, ends, ids])
    before, after = (b"" if number is None else kind.type(number).tobytes() for number in (bos_id, eot_id))
    data = enclosed(before, documents, after).buffers()[2]
    assert data is not None
    return from_buffer(data, kind.type, len(encoded.ids) + count * (1 if bos_id is None else 2))
