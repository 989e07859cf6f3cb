"""The uncompressed bytes of a file, held while they are needed, with their offsets in the file."""

from __future__ import annotations

from collections.abc import Iterator

from dclm.pool.packing import BrokenError, Piece

_SPACE = b" \t\r\n\f"


class Window:
    """Uncompressed bytes as long as they are needed, and the offset of each in the file."""

    def __init__(self, source: Iterator[Piece]) -> None:
        self._source = source
        self._marks: list[tuple[int, int]] = []  # (position of a piece, offset in the file)
        self.held = bytearray()
        self.base = 0
        self.ended = False
        self.broken: BrokenError | None = None

    @property
    def end(self) -> int:
        """Position after the last byte held."""
        return self.base + len(self.held)

    def has(self, position: int) -> bool:
        """Whether there are bytes up to `position`; reads those that are not held yet."""
        while self.end < position and not self.ended:
            try:
                piece = next(self._source, None)
            except BrokenError as error:
                self.broken, piece = error, None
            if piece is None:
                self.ended = True
            else:
                if not self._marks or self._marks[-1][1] != piece.offset:
                    self._marks.append((self.end, piece.offset))
                self.held += piece.data
        return self.end >= position

    def drop(self, position: int) -> None:
        """Discard the bytes before `position`."""
        del self.held[: position - self.base]
        self.base = position
        while len(self._marks) > 1 and self._marks[1][0] <= position:
            del self._marks[0]

    def starts(self) -> list[int]:
        """Positions of the members that are held."""
        return [position for position, _ in self._marks]

    def bytes(self, start: int, end: int) -> bytes:
        """The held bytes from `start` to `end`."""
        return bytes(memoryview(self.held)[start - self.base : end - self.base])

    def stored(self, position: int, packed: bool) -> int:
        """Offset of the byte at `position` in the file: the beginning of its member, or its own offset in plain
        files."""
        at, offset = next((m for m in reversed(self._marks) if m[0] <= position), (position, 0))
        return offset if packed else offset + position - at


def pass_over(window: Window, at: int) -> int:
    """The first position from `at` on that is not whitespace."""
    while window.has(at + 1):
        held = window.bytes(at, min(at + 64, window.end))
        rest = held.lstrip(_SPACE)
        at += len(held) - len(rest)
        if rest:
            break
    return at
