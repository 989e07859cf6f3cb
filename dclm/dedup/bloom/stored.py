"""Bloom filters on disk: the index of `bloom`.

INDEX/filter.bin    the words of the filter, little-endian; the record has `blocks`, `probes`, `room` and `keys`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from dclm.core.errors import ConfigError
from dclm.core.record import Record, read_record
from dclm.core.stores.store import join, verified_file
from dclm.dedup.bloom.filter import Size, empty_filter
from dclm.dedup.columns import U64

FILTER = "filter.bin"


def number(record: Record, name: str) -> int:
    """An integer field of a filter's record."""
    return int(cast(Mapping[str, int], record.counts)[name])


def stored_size(address: str) -> Size:
    """The shape of the filter at an address."""
    record = read_record(address)
    return Size(blocks=number(record, "blocks"), probes=number(record, "probes"))


def merged(addresses: Sequence[str], more: int, step: str) -> U64:
    """The union of all filters, as words in writable memory.

    more: number of n-grams that will be added.
    Raises: ConfigError if the filters differ in size or lack room for that many; DataError if a filter does not match
    its record.
    """
    records = [read_record(address) for address in addresses]
    size = stored_size(addresses[0])
    words = empty_filter(size)
    for address, record in zip(addresses, records, strict=True):
        if stored_size(address) != size:
            what = f"has {stored_size(address).blocks:,} blocks, allowed: {size.blocks:,} as {addresses[0]}"
            raise ConfigError(address, what, "make both with the same --room")
        (digest,) = [file.sha256 for file in record.files if file.path == FILTER]
        words |= np.fromfile(verified_file(join(address, FILTER), digest), "<u8")
    keys, room = sum(number(record, "keys") for record in records) + more, number(records[0], "room")
    if keys > room:
        what = f"{addresses[0]} has room for {room:,} n-grams, found {keys:,} including those of these documents"
        raise ConfigError(f"{step}: against", what, f"make the index with --room {keys}")
    return words


def write_filter(path: Path, words: U64) -> None:
    """Write the words of a filter."""
    words.astype("<u8", copy=False).tofile(path)
