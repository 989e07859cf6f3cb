"""Texts in lower case, as defined by Python."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import strings, to_list


def lower(text: pa.StringArray, other: pa.BooleanArray | None = None) -> pa.StringArray:
    """`str.lower()` of every text; Arrow's own function equals it only for ASCII ("İ" becomes two characters).

    `other`: which texts have more to convert than ASCII; None: determined here. Bytes that are not UTF-8 are unchanged.
    """
    lowered, other = pc.ascii_lower(text), pc.invert(pc.string_is_ascii(text)) if other is None else other
    if pc.any(other, min_count=0).as_py():
        lowered = pc.replace_with_mask(lowered, other, _lowered(text.filter(other)))
    return lowered


def _lowered(text: pa.StringArray) -> pa.StringArray:
    values = [value.decode(errors="surrogateescape").lower() for value in to_list(text.view(pa.binary()))]
    encoded = pa.array([value.encode(errors="surrogateescape") for value in values], pa.binary())
    return strings(encoded.view(pa.string()))
