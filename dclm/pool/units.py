"""Units of even size: small files of a pool are combined and large ones are divided, based only on the pool's listing.

The division of a pool never depends on the workers, so neither does any output made from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dclm.pool.archives.warc_part import Seam, seams_meet
from dclm.pool.files import ARC, PACKED, ByteRange, InputFile, is_packed

LARGEST_UNIT_BYTES = 256 << 20
SMALLEST_UNIT_BYTES = 4 << 20
"""About a second's work: units of a quarter of that took a third more CPU time, for starting and publishing them."""
_UNITS = 256
"""A pool that is too small for this many units of maximum size is divided into about this many smaller ones."""
_MOST_UNITS = 1_000_000
"""A pool that is too large for this many units of maximum size gets larger ones: the driver keeps track of each."""
_OPENING_BYTES = 16 << 10
"""Opening a file costs about as much as reading this many bytes of it."""
_MOST_FILES = 1000
_CUTTABLE = (
    *(f".{stem}{packed}" for stem in ("warc", "wet", "wat") for packed in ("", ".gz", ".zst", ".zstd")),
    *(f".{stem}{packed}" for stem in ("jsonl", "ndjson", "jl") for packed in ("", *PACKED)),
    ".parquet",
)
_EXPANSION = 3
"""Compressed JSON lines are assumed to hold this many times their size; the last part holds whatever is beyond."""
_MOST_PACKED_PARTS = 16
_SMALLEST_PACKED_UNIT_BYTES = 8 << 20
"""Each part of compressed JSON lines is reached by decompressing everything before it."""
_ENDLESS = 1 << 60

Unit = tuple[InputFile, ...]
"""The files, or the part of one file, that one unit of work reads."""


def unit_bytes_for(files: Sequence[InputFile]) -> int:
    """The default number of bytes that a unit reads."""
    total = sum(file.size for file in files)
    return max(min(max(total // _UNITS, SMALLEST_UNIT_BYTES), LARGEST_UNIT_BYTES), total // _MOST_UNITS)


def cut(files: Sequence[InputFile], unit_bytes: int | None = None, *, limited: bool = False) -> list[Unit]:
    """The units of a pool, in document order.

    unit_bytes: number of bytes that a unit should read. None: `unit_bytes_for` the pool; 0: each file is a unit.
    limited: only the first records of each file are read, so no file is divided.

    Files that are combined are of the same kind, with the same fields. The documents of an artifact are not combined,
    because their columns may differ. A part contains the records that begin in its bytes.
    """
    if unit_bytes == 0:
        return [(file,) for file in files]
    size = unit_bytes or unit_bytes_for(files)
    packed_size = unit_bytes or max(size, _SMALLEST_PACKED_UNIT_BYTES)
    return list(_units(files, size, packed_size, limited))


def _units(files: Sequence[InputFile], size: int, packed_size: int, limited: bool) -> Iterator[Unit]:
    held: list[InputFile] = []
    held_bytes = 0
    for file in files:
        is_packed_lines = file.kind == "jsonl" and is_packed(file.path)
        parts = [file] if limited else _parts(file, packed_size if is_packed_lines else size)
        alone = len(parts) > 1 or file.artifact
        cost = file.size + _OPENING_BYTES
        if held and (alone or held_bytes + cost > size or len(held) == _MOST_FILES or not _alike(held[0], file)):
            yield tuple(held)
            held, held_bytes = [], 0
        if alone:
            yield from ((part,) for part in parts)
        else:
            held.append(file)
            held_bytes += cost
    if held:
        yield tuple(held)


def _alike(one: InputFile, other: InputFile) -> bool:
    return (one.kind, one.fields) == (other.kind, other.fields)


def _parts(file: InputFile, size: int) -> list[InputFile]:
    """The file in even parts of about `size` bytes, if it can be divided and is large enough for two.

    The parts of compressed JSON lines are ranges of their content, whose size is not in the listing.
    """
    count = file.size // size
    if count < 2 or file.ranges or file.part is not None or not _can_be_cut(file):
        return [file]
    if file.kind == "jsonl" and is_packed(file.path):
        count = min(count, _MOST_PACKED_PARTS)
        edges = [*(_EXPANSION * file.size * i // count for i in range(count)), _ENDLESS]
    else:
        edges = [file.size * i // count for i in range(count + 1)]
    return [replace(file, part=ByteRange(start, end - start)) for start, end in itertools.pairwise(edges)]


def _can_be_cut(file: InputFile) -> bool:
    """Whether the file has places at which a part can begin: members, row groups or lines."""
    name = file.path.lower()
    return name.endswith(_CUTTABLE) and not name.endswith(ARC)


def without_bad_seams(units: Sequence[Unit], seams: Sequence[Seam | None]) -> list[Unit]:
    """The units, with every archive whose parts do not meet read as a whole: a page contained what looks like a record.

    seams: for each unit, where reading began and ended. A file that is read as a whole is read with its first part; the
    other parts stay, and are empty.
    """
    found = list(units)
    places: dict[str, list[int]] = {}
    for index, unit in enumerate(units):
        if unit[0].part is not None and unit[0].kind == "warc":
            places.setdefault(unit[0].name, []).append(index)
    for indices in places.values():
        parts = [part for i in indices if (part := units[i][0].part) is not None]
        if not seams_meet(parts, [seams[i] or Seam(None, None) for i in indices]):
            end = sum(parts[-1])
            for i in indices:
                whole = ByteRange(0, end) if i == indices[0] else ByteRange(end, 0)
                found[i] = (replace(units[i][0], part=whole),)
    return found
