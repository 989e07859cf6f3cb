"""What Punkt has learned about a language, as the arrays that its kernel reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.core.errors import AssetError
from dclm.text.counting.interning import EMPTY, first_slot, intern_span, num_slots, value_of_span
from dclm.text.kernels import lean

ABBREVIATION = 1
"""Bits of `PunktModel.flags`; the orthographic contexts have the numbers of the published models."""
BEGINS_UPPER = 2
INSIDE_UPPER = 4
UNKNOWN_UPPER = 8
BEGINS_LOWER = 16
INSIDE_LOWER = 32
UNKNOWN_LOWER = 64
STARTER = 128
ANY_UPPER = BEGINS_UPPER | INSIDE_UPPER | UNKNOWN_UPPER
ANY_LOWER = BEGINS_LOWER | INSIDE_LOWER | UNKNOWN_LOWER

NUMBER = "##number##"
"""The type of all numbers."""
KEYS = ("abbreviations", "collocations", "contexts", "starters")


class PunktModel(NamedTuple):
    """Types are lowercase words; all of them are ASCII, none is longer than `longest`."""

    data: NDArray[np.uint8]
    """The types, concatenated."""
    spans: NDArray[np.int64]
    """Start and end of each type in `data`, 32 bits each."""
    slots: NDArray[np.int32]
    """The hash table over them."""
    flags: NDArray[np.uint8]
    pairs: NDArray[np.int64]
    """Collocations, sorted: the numbers of two types, 32 bits each."""
    number: int
    """The type of numbers."""
    longest: int


def load_punkt(path: Path) -> PunktModel:
    """Read a model: a JSON object of `abbreviations` and `starters` (lists of types), `collocations` (pairs of them)
    and `contexts` (type → flags).

    Raises: AssetError if it is not one.
    """
    try:
        value = json.loads(path.read_bytes())
        return _build(**{key: value[key] for key in KEYS})
    except (ValueError, KeyError, TypeError) as error:
        raise AssetError(
            str(path), f"not a Punkt model: {error!r}", "use a file like that of `punkt-english`"
        ) from None


def _build(
    abbreviations: Sequence[str],
    collocations: Sequence[tuple[str, str]],
    contexts: Mapping[str, int],
    starters: Sequence[str],
) -> PunktModel:
    types = sorted({NUMBER, *abbreviations, *starters, *contexts, *(word for pair in collocations for word in pair)})
    number_of = {word: number for number, word in enumerate(types)}
    flags = np.zeros(len(types), np.uint8)
    for word, bits in contexts.items():
        flags[number_of[word]] |= bits
    flags[[number_of[word] for word in abbreviations]] |= ABBREVIATION
    flags[[number_of[word] for word in starters]] |= STARTER
    data = np.frombuffer("".join(types).encode("ascii"), np.uint8)
    ends = np.cumsum([len(word) for word in types])
    slots, spans = _intern(data, ends)
    return PunktModel(
        data=data,
        spans=spans,
        slots=slots,
        flags=flags,
        pairs=np.array(sorted(number_of[a] << 32 | number_of[b] for a, b in collocations), np.int64),
        number=number_of[NUMBER],
        longest=max(map(len, types)),
    )


@njit(cache=True, nogil=True)
def _intern(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distinct types get their positions as numbers."""
    slots, spans = np.full(num_slots(len(ends)), EMPTY, np.int32), np.empty(len(ends), np.int64)
    start = 0
    for number in range(len(ends)):
        intern_span(data, start, ends[number], slots, spans, number)
        start = ends[number]
    return slots, spans


@lean
def find_type(data: NDArray[np.uint8], start: int, end: int, model: PunktModel, word: NDArray[np.uint8]) -> int:
    """The number of the type that equals the text in lower case, -1 if none does; `word` has room for `longest`
    bytes."""
    length = 0
    while start < end:
        byte = data[start]
        start += 1
        if byte >= 0x80:  # no type has such letters, but "K" (the Kelvin sign) becomes an ASCII letter in lower case
            if not (byte == 0xE2 and start + 2 <= end and data[start] == 0x84 and data[start + 1] == 0xAA):
                return -1
            start += 2
            byte = 107
        elif 65 <= byte <= 90:
            byte += 32
        if length == model.longest:
            return -1
        word[length] = byte
        length += 1
    mask = len(model.slots) - 1
    slot = first_slot(value_of_span(word, 0, length), model.slots)
    while model.slots[slot] != EMPTY:
        known = int(model.slots[slot])
        first = int(model.spans[known]) >> 32
        if (int(model.spans[known]) & 0xFFFFFFFF) - first == length:
            i = 0
            while i < length and model.data[first + i] == word[i]:
                i += 1
            if i == length:
                return known
        slot = (slot + 1) & mask
    return -1
