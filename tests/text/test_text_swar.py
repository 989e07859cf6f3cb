"""What is found eight bytes at a time is what a loop over bytes finds, at every place of every array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from dclm.text import swar
from dclm.text.counting.interning import EMPTY, intern_span, num_slots
from dclm.text.kernels import lean

Bytes = NDArray[np.uint8]
EDGES = (0, 1, 9, 10, 32, 33, 47, 48, 57, 58, 64, 65, 90, 91, 96, 97, 122, 123, 126, 127, 128, 0xBF, 0xC0, 0xE2, 255)
SPANS = st.lists(st.sampled_from(EDGES) | st.integers(97, 122), min_size=1, max_size=40).flatmap(
    lambda data: st.tuples(st.just(np.array(data, np.uint8)), st.integers(0, len(data) - 1), st.integers(0, len(data)))
)
CHECKED = settings(deadline=None, max_examples=400)


@njit
def all_of(data: Bytes, at: int, end: int) -> tuple[int, ...]:
    count = trails = 0
    place = at
    while place < end:
        word = swar.eight(data, place, end)
        count += swar.count_ones(swar.in_range(word, 65, 90))
        trails += swar.count_ones(swar.trails(word))
        place += 8
    return (
        swar.skip_letters(data, at, end),
        swar.skip_letters_and_digits(data, at, end),
        swar.skip_above(data, at, end, 32),
        swar.find_byte(data, at, end, 10),
        swar.count_byte(data, at, end, 10),
        count,
        trails,
        swar.count_ones(swar.not_ascii(swar.eight(data, at, end))) if at < end else 0,
    )


def first(data: Bytes, at: int, end: int, stops: object) -> int:
    return next((place for place in range(at, end) if stops(int(data[place]))), max(at, end))  # type: ignore[operator]


@given(SPANS)
@CHECKED
def test_runs_and_bytes_are_found(span: tuple[Bytes, int, int]) -> None:
    data, at, end = span
    end = max(at, end)
    inside = data[at:end]
    letter = lambda byte: 65 <= byte <= 90 or 97 <= byte <= 122  # noqa: E731
    assert all_of(data, at, end) == (
        first(data, at, end, lambda byte: not letter(byte)),
        first(data, at, end, lambda byte: not (letter(byte) or 48 <= byte <= 57)),
        first(data, at, end, lambda byte: byte <= 32),
        first(data, at, end, lambda byte: byte == 10),
        int((inside == 10).sum()),
        int(((inside >= 65) & (inside <= 90)).sum()),
        int(((inside & 0xC0) == 0x80).sum()),
        int((inside[:8] >= 128).sum()),
    )


@lean
def copied(out: Bytes, data: Bytes, start: int, end: int) -> None:
    swar.copy_bytes(out, 2, data, start, end)


@given(SPANS)
@CHECKED
def test_a_copy_writes_the_span_and_nothing_else(span: tuple[Bytes, int, int]) -> None:
    data, start, end = span
    end = max(start, end)
    out = np.full(len(data) + 4, 77, np.uint8)
    copied(out, data, start, end)
    assert out.tobytes() == b"MM" + data[start:end].tobytes() + b"M" * (len(out) - 2 - (end - start))


@njit
def numbers_of(data: Bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    table, keys = np.full(slots, EMPTY, np.int32), np.empty(len(starts), np.int64)
    out = np.empty(len(starts), np.int64)
    num = 0
    for i in range(len(starts)):
        out[i] = intern_span(data, starts[i], ends[i], table, keys, num)
        num += out[i] == num
    return out


@given(st.lists(st.binary(min_size=1, max_size=20) | st.sampled_from([b"a", b"a\0", b"a" * 8, b"a" * 9, b"a" * 16])))
@CHECKED
def test_equal_spans_get_equal_numbers(spans: list[bytes]) -> None:
    if not spans:
        return
    ends = np.cumsum([len(span) for span in spans])
    data = np.frombuffer(b"".join(spans), np.uint8)
    known: dict[bytes, int] = {}
    expected = [known.setdefault(span, len(known)) for span in spans]
    assert numbers_of(data, ends - [len(span) for span in spans], ends, num_slots(len(spans))).tolist() == expected


def test_a_kernel_that_allocates_does_not_compile_lean() -> None:
    @lean
    def kernel(count: int) -> int:
        return len(np.empty(count, np.uint8))

    with pytest.raises(NumbaError):
        kernel(3)
