"""fastText model files with hierarchical softmax, such as lid.176, read into the flat arrays that a kernel needs."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dclm.core.errors import AssetError
from dclm.filters.fasttext_file import require_fasttext
from dclm.filters.language.kernel import LidArrays
from dclm.filters.language.subwords import hash_bytes, subword_buckets

_MAGIC, _VERSION = 793712314, 12
_SUPERVISED, _HIERARCHICAL_SOFTMAX = 3, 1
_WORD = 0
_MAX_BUCKET = 1 << 26  # the kernel needs 4 bytes for each, but a file with few rows may state any number


class LidModel(NamedTuple):
    """A model: the arrays that the kernel reads, and the names of its labels."""

    arrays: LidArrays
    labels: tuple[str, ...]


class _Arguments(NamedTuple):
    """The settings at the beginning of a model file, in order."""

    dim: int
    ws: int
    epoch: int
    min_count: int
    neg: int
    word_ngrams: int
    loss: int
    model: int
    bucket: int
    minn: int
    maxn: int
    lr_update_rate: int
    t: float


class _Dictionary(NamedTuple):
    words: list[bytes]
    labels: list[bytes]
    label_counts: list[int]
    pruned: NDArray[np.int32]
    """Bucket → row after the words' rows, or -1."""


def load_lid_model(path: Path) -> LidModel | None:
    """The model at `path`, or None if it is a fastText model that the kernel cannot run.

    The kernel needs hierarchical softmax, subwords and single words; the input matrix may be quantized.

    Raises: AssetError if the file is not a fastText model, or is truncated.
    """
    require_fasttext(path)
    try:
        parts = _load(path)
    except (EOFError, ValueError, IndexError, struct.error):
        raise AssetError(str(path), "not a fastText model, or a truncated one", "download the file again") from None
    if parts is None:
        return None
    return LidModel(_arrays(*parts), _names(parts.dictionary.labels))  # bugs in kernels are not the file's fault


class _Parts(NamedTuple):
    arguments: _Arguments
    dictionary: _Dictionary
    rows: NDArray[np.float32]
    output: NDArray[np.float32]


def _load(path: Path) -> _Parts | None:
    with path.open("rb") as file:
        if _unpack(file, "<ii") != (_MAGIC, _VERSION):
            raise ValueError
        arguments = _Arguments(*_unpack(file, "<12id"))
        kind = (arguments.model, arguments.loss, arguments.word_ngrams)
        if kind != (_SUPERVISED, _HIERARCHICAL_SOFTMAX, 1) or arguments.maxn <= 0 or arguments.bucket > _MAX_BUCKET:
            return None
        dictionary = _read_dictionary(file, arguments)
        rows = _read_quantized(file) if _unpack(file, "<?")[0] else _read_dense(file)
        if _unpack(file, "<?")[0]:  # a quantized output matrix, which language identification models never have
            return None
        return _Parts(arguments, dictionary, rows, _read_dense(file))


def _names(labels: list[bytes]) -> tuple[str, ...]:
    return tuple(label.decode().removeprefix("__label__") for label in labels)


def _unpack(file: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _read_dictionary(file: IO[bytes], arguments: _Arguments) -> _Dictionary:
    size, num_words, _, _, num_pruned = _unpack(file, "<iiiqq")
    words: list[bytes] = []
    labels: list[bytes] = []
    counts: list[int] = []
    for _ in range(size):
        word = _read_word(file)
        count, kind = _unpack(file, "<qb")
        if kind == _WORD:
            words.append(word)
        else:
            labels.append(word)
            counts.append(count)
    assert len(words) == num_words
    if num_pruned < 0:
        return _Dictionary(words, labels, counts, np.arange(arguments.bucket, dtype=np.int32))
    pairs = np.frombuffer(file.read(8 * num_pruned), "<i4").reshape(-1, 2)
    pruned = np.full(arguments.bucket, -1, np.int32)
    pruned[pairs[:, 0]] = pairs[:, 1]
    return _Dictionary(words, labels, counts, pruned)


def _read_word(file: IO[bytes]) -> bytes:
    word = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte:
            raise EOFError
        word += byte
    return bytes(word)


def _read_dense(file: IO[bytes]) -> NDArray[np.float32]:
    rows, columns = _unpack(file, "<qq")
    return np.frombuffer(file.read(4 * rows * columns), "<f4").reshape(rows, columns)


class _Quantizer(NamedTuple):
    parts: int
    width: int
    last_width: int
    centroids: NDArray[np.float32]

    def decode(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8[rows, parts] → float32[rows, dim]."""
        columns = []
        for part in range(self.parts):
            width = self.last_width if part == self.parts - 1 else self.width
            start = part * 256 * self.width
            table = self.centroids[start : start + 256 * width].reshape(256, width)
            columns.append(table[codes[:, part]])
        return np.concatenate(columns, axis=1)


def _read_quantizer(file: IO[bytes]) -> _Quantizer:
    dim, parts, width, last_width = _unpack(file, "<iiii")
    return _Quantizer(parts, width, last_width, np.frombuffer(file.read(4 * dim * 256), "<f4"))


def _read_quantized(file: IO[bytes]) -> NDArray[np.float32]:
    norms_too, rows, _, size = _unpack(file, "<?qqi")
    codes = np.frombuffer(file.read(size), np.uint8).reshape(rows, -1)
    matrix = _read_quantizer(file).decode(codes)
    if norms_too:
        norm_codes = np.frombuffer(file.read(rows), np.uint8).reshape(rows, 1)
        matrix = matrix * _read_quantizer(file).decode(norm_codes)
    return matrix


def _arrays(
    arguments: _Arguments, dictionary: _Dictionary, rows: NDArray[np.float32], output: NDArray[np.float32]
) -> LidArrays:
    words = dictionary.words
    lengths = np.cumsum([0, *map(len, words)], dtype=np.int64)
    text = np.frombuffer(b"".join(words) or b"\0", np.uint8)
    slots = 1 << (2 * len(words) + 1).bit_length()
    table = np.full(slots, -1, np.int32)
    own_rows: list[NDArray[np.int32]] = []
    has_row = dictionary.pruned >= 0
    bits = np.packbits(np.pad(has_row, (0, -arguments.bucket % 64)), bitorder="little")
    present = bits.view("<u8").astype(np.uint64)
    rank = np.cumsum(has_row, dtype=np.int32) - np.int32(1)
    before = np.concatenate([np.zeros(1, np.int32), rank[63::64] + np.int32(1)])[: len(present)]
    scale = (arguments.minn, arguments.maxn, np.uint32(arguments.bucket), np.uint64((1 << 32) // arguments.bucket))
    for number, word in enumerate(words):
        raw = np.frombuffer(word, np.uint8)
        slot = int(hash_bytes(raw, 0, len(raw))) & (slots - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (slots - 1)
        table[slot] = number
        marked = np.frombuffer(b"<" + word + b">", np.uint8)
        found = np.empty(arguments.maxn * len(marked) + 1, np.int32)
        count = 0 if word == b"</s>" else subword_buckets(marked, len(marked), present, *scale, found, 0)
        own_rows.append(np.concatenate([[number], rank[found[:count]] + len(words)]).astype(np.int32))
    first = np.cumsum([0, *map(len, own_rows)], dtype=np.int64)
    left, right = _huffman(dictionary.label_counts)
    subwords = np.concatenate(own_rows) if own_rows else np.zeros(0, np.int32)
    order = np.concatenate([np.arange(len(words)), len(words) + dictionary.pruned[has_row]])
    matrix = rows[order]  # a copy, and therefore writable: otherwise the kernel would be compiled twice
    return LidArrays(
        text,
        lengths,
        table,
        subwords,
        first,
        present,
        before,
        matrix,
        output,
        left,
        right,
        *scale,
        words.index(b"</s>") if b"</s>" in words else -1,
    )


def _huffman(counts: list[int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The tree of hierarchical softmax: children of each node; labels are the first nodes and have none."""
    leaves = len(counts)
    weight = [*counts, *[10**15] * (leaves - 1)]
    left = np.full(2 * leaves - 1, -1, np.int32)
    right = np.full(2 * leaves - 1, -1, np.int32)
    leaf, inner = leaves - 1, leaves
    for node in range(leaves, 2 * leaves - 1):
        least = []
        for _ in range(2):
            if leaf >= 0 and weight[leaf] < weight[inner]:
                least.append(leaf)
                leaf -= 1
            else:
                least.append(inner)
                inner += 1
        left[node], right[node] = least
        weight[node] = weight[least[0]] + weight[least[1]]
    return left, right
