"""Checks a fastText model file before the library reads it.

fastText's parser trusts every size and index in a file: a truncated or forged file makes it take all memory, read
beyond its arrays, or divide by zero, and the process dies. Here the structure is read once, without loading the
matrices, and everything that the parser and prediction later rely on is compared with the file's length.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from dclm.core.errors import AssetError

_MAGIC, _VERSIONS = 793712314, (11, 12)
_SUPERVISED = 3
_LOSSES = (1, 2, 3, 4)  # hierarchical softmax, negative sampling, softmax, one against all
_MAX_COUNT = 10**15  # fastText builds its tree with this as infinity
_MAX_NGRAM = 1000  # letters or words
_CENTROIDS = 256


class _Fault(Exception):
    """A defect of the file."""


def require_fasttext(path: Path | str) -> None:
    """Raises: AssetError unless `path` is a supervised fastText model that the library can read and run safely."""
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check(_Cursor(data))
    except FileNotFoundError:
        raise AssetError(str(path), "no such file", "check the path") from None
    except (_Fault, OSError, ValueError) as error:  # ValueError: mmap of an empty file
        what = f"not a fastText model, or a truncated one: {error}"
        raise AssetError(str(path), what, "download or train it again") from None


class _Cursor:
    """A position in the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, form: str) -> tuple[int, ...]:
        start = self.at
        self.skip(struct.calcsize(form), "a number")
        return struct.unpack_from(form, self.data, start)

    def skip(self, size: int, what: str) -> None:
        if size < 0 or size > len(self.data) - self.at:
            raise _Fault(f"{what} at byte {self.at} needs {size} bytes of {len(self.data) - self.at}")
        self.at += size

    def word(self) -> bytes:
        start, end = self.at, self.data.find(b"\0", self.at)
        if end < 0:
            raise _Fault(f"a word at byte {start} does not end")
        self.at = end + 1
        return self.data[start:end]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _Fault(what)


def _check(cursor: _Cursor) -> None:
    magic, version = cursor.take("<ii")
    _require(magic == _MAGIC and version in _VERSIONS, "another magic number or version")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, minn, maxn, _, _ = cursor.take("<12id")
    _require(kind == _SUPERVISED, "it is not a supervised model")
    _require(loss in _LOSSES, f"loss {loss}")
    _require(dim > 0, f"{dim} dimensions")
    _require(1 <= word_ngrams <= _MAX_NGRAM and 0 <= minn <= _MAX_NGRAM and 0 <= maxn <= _MAX_NGRAM, "n-grams")
    _require(bucket > 0 or (bucket == 0 and maxn == 0 and word_ngrams == 1), f"{bucket} buckets")
    words, labels, pruned = _check_dictionary(cursor)
    quantized = cursor.take("<B")[0]
    _require(quantized in (0, 1), "a flag that is neither 0 nor 1")
    rows = words + (bucket if pruned < 0 else pruned)
    if quantized:
        _check_quantized(cursor, rows, dim)
    else:
        _require(pruned < 0, "buckets are pruned, but the matrix is dense")
        _check_dense(cursor, rows, dim)
    output_quantized = cursor.take("<B")[0]
    _require(output_quantized in (0, 1), "a flag that is neither 0 nor 1")
    if quantized and output_quantized:
        _check_quantized(cursor, labels, dim)
    else:
        _check_dense(cursor, labels, dim)


def _check_dictionary(cursor: _Cursor) -> tuple[int, int, int]:
    """Numbers of words, labels and pruned buckets (-1: none are pruned)."""
    size, words, labels, _, pruned = cursor.take("<iiiqq")
    _require(size >= 1 and words >= 0 and labels >= 1 and words + labels == size, "the dictionary's sizes disagree")
    found = [0, 0]
    for _ in range(size):
        word = cursor.word()
        count, kind = cursor.take("<qb")
        _require(kind in (0, 1), f"an entry of kind {kind}")
        _require(kind == 1 or found[1] == 0, "a word after a label")
        _require(0 <= count < _MAX_COUNT, f"a count of {count}")
        found[kind] += 1
        if kind == 1:
            word.decode()  # a UnicodeDecodeError is a ValueError
    _require(found == [words, labels], "the dictionary's sizes disagree")
    if pruned < 0:
        return words, labels, -1
    start = cursor.at
    cursor.skip(8 * pruned, "the pruned buckets")
    pairs = np.frombuffer(cursor.data[start : cursor.at], "<i4").reshape(-1, 2)
    _require(pruned == 0 or (int(pairs.min()) >= 0 and int(pairs[:, 1].max()) < pruned), "pruned buckets")
    return words, labels, pruned


def _check_dense(cursor: _Cursor, rows: int, columns: int) -> None:
    found = cursor.take("<qq")
    _require(found == (rows, columns), f"a matrix of {found[0]} × {found[1]}, not {rows} × {columns}")
    cursor.skip(4 * rows * columns, "a matrix")


def _check_quantized(cursor: _Cursor, rows: int, columns: int) -> None:
    norms, *shape, size = cursor.take("<Bqqi")
    _require(norms in (0, 1), "a flag that is neither 0 nor 1")
    _require(shape == [rows, columns], f"a matrix of {shape[0]} × {shape[1]}, not {rows} × {columns}")
    cursor.skip(size, "a matrix")
    parts = _check_quantizer(cursor, columns)
    _require(size == rows * parts, f"a matrix of {size} codes, not {rows} × {parts}")
    if norms:
        cursor.skip(rows, "the norms")
        _check_quantizer(cursor, 1)


def _check_quantizer(cursor: _Cursor, columns: int) -> int:
    """Codes per row."""
    dim, parts, width, last_width = cursor.take("<iiii")
    fits = width > 0 and parts > 0 and 0 < last_width <= width and (parts - 1) * width + last_width == dim
    _require(dim == columns and fits, "a quantizer of another shape")
    cursor.skip(4 * dim * _CENTROIDS, "a quantizer")
    return parts
