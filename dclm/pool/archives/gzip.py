"""Gzip data with any number of members, decompressed in time linear in its length.

zlib returns a copy of all data after a member. If it is fed a whole body with many small members, the body is copied as
often as it has members; so each member is fed in slices that begin small and double.
"""

from __future__ import annotations

import zlib

_FIRST_SLICE = 256
_LAST_SLICE = 1 << 18


class Member:
    """Decompresses one gzip member."""

    def __init__(self) -> None:
        self._packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._slice = _FIRST_SLICE

    @property
    def ended(self) -> bool:
        return self._packed.eof

    def feed(self, data: memoryview, room: int) -> tuple[bytes, int]:
        """The next bytes (at most `room`, which is above 0), and how many bytes of `data` were used.

        Raises: zlib.error if the data is corrupt.
        """
        part = data[: self._slice]
        self._slice = min(2 * self._slice, _LAST_SLICE)
        unpacked = self._packed.decompress(part, room)
        left = len(self._packed.unused_data) if self._packed.eof else len(self._packed.unconsumed_tail)
        return unpacked, len(part) - left
