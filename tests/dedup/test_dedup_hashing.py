"""Hash functions: fixed values, because a changed hash changes every decision."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.hashing import hash_values
from dclm.text.buffers import utf8


def hash_text(text: str, seed: int = 0) -> tuple[int, int]:
    column = utf8(pa.array([text], pa.string()))
    high, low = hash_values(column.data, column.offsets, np.uint64(seed))
    return int(high[0]), int(low[0])


def test_values_are_murmurhash3_x64_128() -> None:
    assert hash_text("") == (0, 0)
    assert hash_text("foo") == (-2129773440516405919 % 2**64, 9128664383759220103)
    assert hash_text("hello") == (0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19)


@given(st.text(max_size=70), st.text(max_size=70), st.integers(0, 5))
def test_different_texts_hash_differently_wherever_they_lie_in_the_column(a: str, b: str, before: int) -> None:
    column = utf8(pa.array(["x" * before, a, b], pa.string()))
    high, low = hash_values(column.data, column.offsets, np.uint64(0))
    assert (int(high[1]), int(low[1])) == hash_text(a)
    assert (a == b) == ((high[1], low[1]) == (high[2], low[2]))
