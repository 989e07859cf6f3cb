"""Lines of a report that also carry their numbers, so that a text and a JSON document come from one place."""

from __future__ import annotations

from typing import Any


class Line(str):
    """A line for people, with the same content as values for programs."""

    __slots__ = ("values",)
    values: dict[str, Any]

    def __new__(cls, text: str, /, **values: Any) -> Line:
        """`values` may be empty, as for a line that only explains the one before it."""
        line = super().__new__(cls, text)
        line.values = values
        return line

    def indented(self) -> Line:
        """The same line, two spaces to the right."""
        return Line(f"  {self}", **self.values)
