"""Decoding and code point classes agree with Python; bytes that are not UTF-8 do no harm."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.text import unicode as u
from dclm.text.buffers import utf8
from dclm.text.features import FEATURES
from dclm.text.unicode import class_table, decode
from dclm.text.unicode_data import STR_UNICODE_VERSION

PREDICATES = {
    u.ALNUM: str.isalnum,
    u.ALPHA: str.isalpha,
    u.UPPER: str.isupper,
    u.LOWER: str.islower,
    u.DIGIT: str.isdigit,
    u.SPACE: str.isspace,
}


def decode_all(data: bytes) -> list[int]:
    buffer, codes, at = np.frombuffer(data, np.uint8), [], 0
    while at < len(data):
        code, after = decode(buffer, at, len(data))
        assert at < after <= len(data)
        codes.append(code)
        at = after
    return codes


def test_classes_are_those_of_python_str() -> None:
    table = class_table()
    assert len(table) == sys.maxunicode + 1
    same_version = unicodedata.unidata_version == STR_UNICODE_VERSION
    for code in range(sys.maxunicode + 1 if same_version else 0x250):  # later versions only add letters beyond
        for flag, holds in PREDICATES.items():
            assert bool(table[code] & flag) == holds(chr(code)), (hex(code), holds)


def test_every_code_point_is_decoded() -> None:
    codes = [code for code in range(0, sys.maxunicode + 1, 7) if not 0xD800 <= code < 0xE000]
    assert decode_all("".join(map(chr, codes)).encode()) == codes


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_bytes_decode_as_python_replaces_them_but_one_by_one(data: bytes) -> None:
    expected, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                expected.append(ord(data[at : at + size].decode()))
            except (UnicodeDecodeError, TypeError):
                continue
            at += size
            break
        else:
            expected.append(0xFFFD)
            at += 1
    assert decode_all(data) == expected


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_bad_bytes_of_one_row_do_not_reach_into_another(rows: list[bytes]) -> None:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    data = pa.py_buffer(b"".join(rows))
    together = pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), data)
    for compute in FEATURES.values():
        alone = []
        for row in rows:
            buffers = pa.py_buffer(np.array([0, len(row)], np.int32)), pa.py_buffer(row)
            alone += compute(pa.StringArray.from_buffers(1, *buffers)).to_pylist()
        assert compute(together).to_pylist() == alone


@pytest.mark.parametrize("name", FEATURES)
def test_features_of_sliced_empty_and_null_columns(name: str) -> None:
    column = pa.array(["a b", "", "c d c d", None, "- naïve…", "x"], pa.string())
    whole = FEATURES[name](column).to_pylist()
    assert FEATURES[name](column.slice(2, 3)).to_pylist() == whole[2:5]
    assert FEATURES[name](column.slice(6)).to_pylist() == []
    assert FEATURES[name](pa.array([], pa.string())).to_pylist() == []
    assert whole[3] == whole[1]


def test_other_column_types_are_refused() -> None:
    with pytest.raises(TypeError, match="large_string"):
        utf8(pa.array(["a"], pa.large_string()))
