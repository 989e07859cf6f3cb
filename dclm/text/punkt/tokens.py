"""The tokens around a possible end of a sentence, and whether they make it one. Source: as `sentences`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.punkt.model import (
    ABBREVIATION,
    ANY_LOWER,
    ANY_UPPER,
    BEGINS_LOWER,
    INSIDE_UPPER,
    STARTER,
    PunktModel,
    find_type,
)
from dclm.text.unicode import ALNUM, DIGIT, LOWER, SPACE, UPPER, WB_MASK, WB_NUMERIC, decode

END = 1  # . ? !
BEHIND = 2  # these may follow an end directly; they end a word
NO_START = 4  # no word starts with it
CLOSER = 8  # belongs to the sentence before it
KINDS = np.zeros(256, np.uint8)
for _bit, _marks in ((END, ".?!"), (BEHIND, ")\";}]*:@'({[?!"), (NO_START, '("`{[:;&#*@)}]-,'), (CLOSER, "\"')]}")):
    KINDS[[ord(mark) for mark in _marks]] |= _bit

_YES, _NO, _UNKNOWN = 1, 0, 2
_STOP, DASH, _COMMA, _NEWLINE = 46, 45, 44, 10

Bytes = NDArray[np.uint8]
Classes = NDArray[np.uint16]


@lean
def space_end(data: Bytes, at: int, end: int, classes: Classes) -> int:
    """After the whitespace character at `at`; `at` if it is not whitespace, or the end."""
    if at >= end:
        return at
    code, after = decode(data, at, end)
    return after if classes[code] & SPACE else at


@lean
def skip_space(data: Bytes, at: int, end: int, classes: Classes) -> int:
    after = space_end(data, at, end, classes)
    while after > at:
        at = after
        after = space_end(data, at, end, classes)
    return at


@lean
def breaks(data: Bytes, at: int, end: int, classes: Classes, model: PunktModel, room: Bytes) -> bool:
    """Whether any token but the last of data[at:end] ends a sentence."""
    start, stop = _next_token(data, at, end, classes)
    kind = _first_pass(data, start, stop, model, room)
    while start < end:
        next_start, next_stop = _next_token(data, stop, end, classes)
        if next_start == end:
            return False
        next_kind = _first_pass(data, next_start, next_stop, model, room)
        if data[stop - 1] == _STOP:
            next_type = _type(data, next_start, next_stop, next_kind == _BREAK, classes, model, room)
            if _second_pass(data, start, stop, kind, next_start, next_stop, next_type, classes, model, room):
                return True
        elif kind == _BREAK:
            return True
        start, stop, kind = next_start, next_stop, next_kind
    return False


@lean
def _dots_end(data: Bytes, at: int, end: int, classes: Classes) -> int:
    """After `-{2,}`, `\\.{2,}` or `(?:\\.\\s){2,}\\.` at `at`; `at` if none of them matches."""
    mark = data[at]
    if mark != _STOP and mark != DASH:
        return at
    stop = at + 1
    while stop < end and data[stop] == mark:
        stop += 1
    if stop > at + 1 or mark == DASH:
        return stop if stop > at + 1 else at
    dots = 1
    while stop < end and data[stop] != _NEWLINE:
        after = space_end(data, stop, end, classes)
        if after == stop or after >= end or data[after] != _STOP:
            break
        stop = after + 1
        dots += 1
    return stop if dots >= 3 else at


@lean
def _ends_word(data: Bytes, at: int, end: int, classes: Classes) -> bool:
    """Whether a mark, several dots or dashes, whitespace or the end is at `at`."""
    if at >= end or KINDS[data[at]] & BEHIND:
        return True
    if data[at] == DASH:
        return at + 1 < end and data[at + 1] == DASH
    if data[at] == _STOP:
        return (
            _dots_end(data, at, min(end, at + 9), classes) > at
        )  # three dots between two whitespace characters of 3 bytes
    return space_end(data, at, end, classes) > at


@lean
def _next_token(data: Bytes, at: int, end: int, classes: Classes) -> tuple[int, int]:
    """The next token at or after `at`: several dots or dashes, a word without the punctuation after it, a mark."""
    at = skip_space(data, at, end, classes)
    if at >= end:
        return end, end
    stop = _dots_end(data, at, end, classes)
    if stop > at:
        return at, stop
    _, stop = decode(data, at, end)
    if KINDS[data[at]] & NO_START:
        return at, stop
    while not _ends_word(data, stop, end, classes):
        if data[stop] == _COMMA and _ends_word(data, stop + 1, end, classes):
            break
        _, stop = decode(data, stop, end)
    return at, stop


_PLAIN, _BREAK, _ABBREVIATED, _ELLIPSIS = 0, 1, 2, 3


@lean
def _first_pass(data: Bytes, start: int, stop: int, model: PunktModel, room: Bytes) -> int:
    """The kind of the token, considered alone."""
    if start == stop:
        return _PLAIN
    if stop == start + 1:
        return _BREAK if KINDS[data[start]] & END else _PLAIN
    if data[stop - 1] != _STOP:
        return _PLAIN
    if data[stop - 2] == _STOP:
        at = start
        while at < stop and data[at] == _STOP:
            at += 1
        return _ELLIPSIS if at == stop else _PLAIN
    known = find_type(data, start, stop - 1, model, room)
    if known < 0 or not model.flags[known] & ABBREVIATION:
        part = stop - 1
        while part > start and data[part - 1] != DASH:
            part -= 1
        known = find_type(data, part, stop - 1, model, room)
    return _ABBREVIATED if known >= 0 and model.flags[known] & ABBREVIATION else _BREAK


@lean
def _is_decimal(code: int, classes: Classes) -> bool:
    return bool(classes[code] & DIGIT) and (classes[code] & WB_MASK == WB_NUMERIC or 0xFF10 <= code <= 0xFF19)


@lean
def _is_number(data: Bytes, at: int, stop: int, classes: Classes) -> bool:
    """Expression: ^-?[.,]?\\d[\\d,.-]*\\.?$"""
    at += data[at] == DASH
    at += at < stop and (data[at] == _STOP or data[at] == _COMMA)
    if at == stop:
        return False
    code, at = decode(data, at, stop)
    if not _is_decimal(code, classes):
        return False
    while at < stop:
        code, at = decode(data, at, stop)
        if code not in (_STOP, _COMMA, DASH) and not _is_decimal(code, classes):
            return False
    return True


@lean
def _type(
    data: Bytes, start: int, stop: int, without_stop: bool, classes: Classes, model: PunktModel, room: Bytes
) -> int:
    if _is_number(data, start, stop, classes):
        return int(model.number)
    if without_stop and stop - start > 1 and data[stop - 1] == _STOP:
        stop -= 1
    return find_type(data, start, stop, model, room)


@lean
def _starts_sentence(first: int, is_mark: bool, flags: int) -> int:
    """What the spelling of a word (the class of its first character, its contexts in training) suggests."""
    if is_mark:
        return _NO
    if first & UPPER and flags & ANY_LOWER and not flags & INSIDE_UPPER:
        return _YES
    if first & LOWER and (flags & ANY_UPPER or not flags & BEGINS_LOWER):
        return _NO
    return _UNKNOWN


@njit(cache=True, nogil=True)
def _second_pass(
    data: Bytes,
    start: int,
    stop: int,
    kind: int,
    next_start: int,
    next_stop: int,
    next_type: int,
    classes: Classes,
    model: PunktModel,
    room: Bytes,
) -> bool:
    """Whether a token that ends in "." ends a sentence, given the token behind it."""
    this = _type(data, start, stop, True, classes, model, room)
    if this >= 0 and next_type >= 0:
        pair = (this << 32) | next_type
        place = np.searchsorted(model.pairs, pair)
        if place < len(model.pairs) and model.pairs[place] == pair:
            return False
    code, after = decode(data, start, stop)
    letter = code == 95 or (classes[code] & ALNUM and not _is_decimal(code, classes))
    initial = letter and after == stop - 1
    first = int(classes[decode(data, next_start, next_stop)[0]])
    flags = int(model.flags[next_type]) if next_type >= 0 else 0
    mark = data[next_start]
    is_mark = next_stop == next_start + 1 and (KINDS[mark] & END or mark == 59 or mark == 58 or mark == _COMMA)
    starts = _starts_sentence(first, is_mark, flags)
    ends = kind == _BREAK
    starter = starts == _YES or (first & UPPER and flags & STARTER)
    if starter and kind in (_ABBREVIATED, _ELLIPSIS) and not initial:
        return True
    if initial or this == model.number:
        if starts == _NO:
            return False
        if starts == _UNKNOWN and initial and first & UPPER and not flags & ANY_LOWER:
            return False
    return ends
