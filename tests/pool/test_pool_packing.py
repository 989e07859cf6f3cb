"""Damaged gzip: what can be read of it, and what is said about it."""

from __future__ import annotations

import io
import random
import zlib
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.pool import packing
from dclm.pool.packing import BrokenError, detect, pieces

TEXT = b"".join(b"Line %d of a text that repeats itself, %d times.\n" % (i, i * i % 97) for i in range(30_000))
RANDOM = random.Random(0).randbytes(len(TEXT))
FLIP, SET, DELETE, TRUNCATE = range(4)
SIZES = st.sampled_from([0, 10, 300, 5000, 60_000, len(TEXT)])
STRATEGIES = st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])
DAMAGES = st.lists(
    st.tuples(st.sampled_from([FLIP, SET, DELETE, TRUNCATE]), st.floats(0, 1), st.booleans(), st.integers(0, 255)),
    max_size=3,
)


def packed(content: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16, strategy=strategy)
    return packer.compress(content) + packer.flush()


def damaged(data: bytes, damages: list[tuple[int, float, bool, int]]) -> bytes:
    """near: in the first bytes, which describe what follows."""
    changed = bytearray(data)
    for kind, fraction, near, value in damages:
        place = int(fraction * (min(60, len(changed)) if near else len(changed)))
        if kind == FLIP:
            changed[place : place + 1] = bytes(byte ^ (1 << value % 8) for byte in changed[place : place + 1])
        elif kind == SET:
            changed[place : place + 1] = bytes([value])[: len(changed) - place]
        elif kind == DELETE:
            del changed[place : place + 1 + value % 20]
        else:
            del changed[place:]
    return bytes(changed)


def read(data: bytes) -> list[object]:
    """All pieces, and what ended the reading."""
    stream = io.BytesIO(data)
    found: list[object] = []
    try:
        found.extend(pieces(stream, detect(stream, "a.gz")))
    except BrokenError as error:
        found.append((error.offset, error.at, error.detail))
    return found


@given(
    contents=st.lists(st.tuples(st.sampled_from([TEXT, RANDOM]), SIZES), min_size=1, max_size=2),
    level=st.integers(0, 9),
    strategy=STRATEGIES,
    damages=DAMAGES,
    after=st.sampled_from([b"", b"\0\0", b"what follows"]),
)
@settings(max_examples=300)
def test_damaged_gzip_gives_the_pieces_and_errors_of_zlib(
    contents: list[tuple[bytes, int]],
    level: int,
    strategy: int,
    damages: list[tuple[int, float, bool, int]],
    after: bytes,
) -> None:
    data = damaged(b"".join(packed(data[:size], level, strategy) for data, size in contents), damages) + after
    found = read(data)
    with mock.patch.multiple(packing, zlib_ng=zlib, _INFLATE_ERROR=zlib.error):
        assert found == read(data)
