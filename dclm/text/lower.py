"""Texts in lower case, as Python has it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def lower(text: pa.StringArray, other: pa.BooleanArray | None = None) -> pa.StringArray:
    """`str.lower()` of every text, which Arrow's own function is for ASCII only ("İ" becomes two characters).

    `other`: which texts have more to lower than ASCII; None: all in which there is more. Bytes that are not UTF-8 stay
    as they are.
    """
    lowered, other = pc.ascii_lower(text), pc.invert(pc.string_is_ascii(text)) if other is None else other
    if pc.any(other, min_count=0).as_py():
        lowered = pc.replace_with_mask(lowered, other, _lowered(text.filter(other)))
    return lowered


def _lowered(text: pa.StringArray) -> pa.StringArray:
    values = [value.decode(errors="surrogateescape").lower() for value in text.view(pa.binary()).to_pylist()]
    return pa.array([value.encode(errors="surrogateescape") for value in values], pa.binary()).view(pa.string())
