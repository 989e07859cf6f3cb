"""Which copy of a document is kept: the order of preference that all deduplication steps share."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, filled, lengths, negated, strings
from dclm.core.errors import ConfigError
from dclm.dedup.columns import I64
from dclm.dedup.hashing import hash_values
from dclm.text.buffers import utf8

Keep = Literal["first", "newest", "longest", "smallest_hash", "highest", "preferred"]
_LAST = np.iinfo(np.int64).max
_DATE_DIGITS = 17  # to the millisecond


def check_keep(keep: str, by: str | None, prefer: tuple[str, ...]) -> None:
    """Raises: ValueError if `keep` and its related fields contradict each other."""
    if keep == "highest" and by is None:
        raise ValueError("keep: highest needs `keep_by`, a column of numbers")
    if keep == "preferred" and not prefer:
        raise ValueError("keep: preferred needs `prefer`, a list of patterns such as wiki*")
    if keep != "preferred" and prefer:
        raise ValueError("`prefer` needs keep: preferred")
    if keep not in ("highest", "preferred") and by is not None:
        raise ValueError("`keep_by` needs keep: highest or keep: preferred")


def order_of(batch: pa.RecordBatch, keep: Keep, by: str | None = None, prefer: tuple[str, ...] = ()) -> pa.Int64Array:
    """A rank for each document: of several copies, the one with the smallest number is kept; ties go to the first.

    newest: `date` as ISO 8601 to the millisecond (time zones are ignored); a missing date is older than any. longest:
    bytes of the text. smallest_hash: hash of the id. highest: the column `by`; null and NaN are lower than any number.
    preferred: the index in `prefer` of the first pattern that the column `by` (`source` if None) matches; `*` stands
    for any characters and `?` for one, and a pattern may match from the start or after any `/`.
    Raises: ConfigError if the column does not exist.
    """
    if keep == "first":
        return pa.array(np.zeros(batch.num_rows, np.int64), pa.int64())
    if keep == "newest":
        return pa.array(_newest(strings(batch.column("date"))), pa.int64())
    if keep == "longest":
        return negated(lengths(filled(batch.column("text"), "")))
    if keep == "smallest_hash":
        high = hash_values(*utf8(batch.column("id")), np.uint64(1))[0]
        return pa.array((high ^ np.uint64(1 << 63)).view(np.int64), pa.int64())
    name = by or "source"
    if name not in batch.schema.names:
        raise ConfigError(
            "keep_by", f"found {name}, allowed: {', '.join(_public(batch))}", "the column must exist before this step"
        )
    if keep == "highest":
        return pa.array(_highest(batch.column(name), name), pa.int64())
    return pa.array(place_in(batch.column(name), prefer), pa.int64())


def _public(batch: pa.RecordBatch) -> list[str]:
    return [name for name in batch.schema.names if not name.startswith("_")]


def _newest(dates: pa.StringArray) -> I64:
    local = pc.replace_substring_regex(dates, r"^(.*T.*?)([+-]\d\d:?\d\d|Z)$", r"\1")
    digits = pc.replace_substring_regex(local, r"\D", "")
    digits = pc.utf8_rpad(pc.utf8_slice_codeunits(digits, 0, _DATE_DIGITS), _DATE_DIGITS, "0")
    dated = filled(pc.match_substring_regex(dates, r"^\d{4}"), False)
    numbers = pc.cast(pc.if_else(dated, digits, "0"), pa.int64())
    found: I64 = pc.if_else(dated, pc.negate(numbers), _LAST).to_numpy(zero_copy_only=False)
    return found


def _highest(column: Column, name: str) -> I64:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise ConfigError("keep_by", f"found {name}, a column of {column.type}, allowed: a column of numbers")
    kind = pa.float64() if not pa.types.is_boolean(column.type) else pa.int64()
    values = filled(pc.cast(pc.cast(column, kind, safe=False), pa.float64()), np.nan).to_numpy() + 0.0  # no −0
    bits = values.view(np.int64)
    ascending = np.where(bits < 0, bits ^ np.int64(_LAST), bits)  # integers that sort like the floats
    return np.where(np.isnan(values), _LAST, -ascending)


def place_in(column: Column, prefer: tuple[str, ...]) -> I64:
    """Index of the first pattern that each text matches (see `order_of`); the number of patterns if none matches."""
    text = filled(pc.cast(column, pa.string()), "")
    place = np.full(len(text), len(prefer), np.int64)
    for number in reversed(range(len(prefer))):
        place[pc.match_substring_regex(text, _regex(prefer[number])).to_numpy(zero_copy_only=False)] = number
    return place


def _regex(pattern: str) -> str:
    """RE2 for a pattern that matches a whole path, or some of its last or middle parts up to a `/` or `#`."""
    signs = {"*": ".*", "?": "."}
    body = "".join(signs.get(c) or (c if c.isalnum() else f"\\x{{{ord(c):x}}}") for c in pattern)
    return f"(?s)(^|/)({body})($|/|#)"
