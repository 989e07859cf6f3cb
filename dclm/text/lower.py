"""Texts in lower case, as Python has it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def lower(text: pa.StringArray) -> pa.StringArray:
    """`str.lower()` of every text, which Arrow's own function is for ASCII only ("İ" becomes two characters)."""
    lowered, other = pc.ascii_lower(text), pc.invert(pc.string_is_ascii(text))
    if pc.any(other, min_count=0).as_py():
        values = [value.lower() for value in text.filter(other).to_pylist()]
        lowered = pc.replace_with_mask(lowered, other, pa.array(values, pa.string()))
    return lowered
