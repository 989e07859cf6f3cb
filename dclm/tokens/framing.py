"""The ids of documents as one stream, each between the tokens that begin and end a document."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dclm.tokens.runs import Rows
from dclm.tokens.tokenizer import Encoded


def chosen_ids(encoded: Encoded, chosen: npt.NDArray[np.bool_]) -> Encoded:
    """The ids of some documents."""
    lengths = np.diff(encoded.offsets)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
    return Encoded(encoded.ids[np.repeat(chosen, lengths)], offsets)


def framed(encoded: Encoded, bos_id: int | None, eot_id: int, dtype: str) -> Rows:
    """The ids of all documents, each between BOS (if there is one) and EOT, with this type.

    One pass that also converts them: numpy.insert and a conversion take half as long again.
    """
    count, extra = len(encoded.offsets) - 1, 1 if bos_id is None else 2
    whole = np.empty(len(encoded.ids) + extra * count, dtype)
    is_id = np.ones(len(whole), dtype=np.bool_)
    ends = encoded.offsets[1:] + np.arange(extra - 1, extra * count, extra)
    whole[ends], is_id[ends] = eot_id, False
    if bos_id is not None:
        starts = encoded.offsets[:-1] + np.arange(0, extra * count, extra)
        whole[starts], is_id[starts] = bos_id, False
    whole[is_id] = encoded.ids
    return whole
