"""What a command prints, and how much: `say` for people, `put_result` for results.

Results go to stdout, everything else to stderr. A command calls `put_result` once, with its result as a value and as
text. With `--json`, stdout gets the value as exactly one JSON document, and the text is not made.
`dclm.cli.shared.answers` describes the documents.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.table import Table

_NOTHING = object()
_LEFT_TO_OTHERS = object()


@dataclasses.dataclass(kw_only=True)
class Output:
    """How the command that runs prints."""

    verbose: bool = False
    quiet: bool = False
    as_json: bool = False
    value: object = _NOTHING
    """The result, with `as_json`."""

    def document(self) -> str | None:
        """The JSON document; None if another process of the command prints it."""
        assert self.value is not _NOTHING, "the command has not called put_result"
        if self.value is _LEFT_TO_OTHERS:
            return None
        return json.dumps(as_value(self.value), indent=1, ensure_ascii=False, allow_nan=False)


_current = Output()


def current() -> Output:
    """How the command that runs prints."""
    return _current


@contextmanager
def printing(*, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> Iterator[Output]:
    """Print like this inside the block. Its JSON document, if requested, is printed even if the block fails later."""
    global _current
    before, _current = _current, Output(verbose=verbose, quiet=quiet, as_json=as_json)
    found = None
    try:
        yield _current
        found = _current.document() if as_json else None
    except BaseException:
        found = _current.document() if as_json and _current.value is not _NOTHING else None
        raise
    finally:
        _current = before
        if found is not None:
            put(found)


def complain(text: str) -> None:
    """Print a line on stderr that nobody may miss: an error."""
    print(visible(text), file=sys.stderr)


def say(text: str) -> None:
    """Print a line for the user on stderr, unless the command is to be quiet; stdout is for data."""
    if not _current.quiet:
        complain(text)


def put(text: object) -> None:
    """Print a line on stdout: part of the text of a result. All output of commands goes through here, `put_result`,
    `say` or `open_console`."""
    assert not _current.as_json, f"printed outside of put_result: {text}"
    print(visible(str(text)))


def put_result(value: object, text: object) -> None:
    """Print the result of a command: `value` as JSON if that was requested, otherwise `text`.

    value: see `as_value`; a function if making it takes time. text: a string or a table of rich, or a function that
    returns one or prints it itself.
    """
    if _current.as_json:
        assert _current.value is _NOTHING, "a command has one result"
        _current.value = value() if callable(value) else value
        return
    shown = text() if callable(text) else text
    if isinstance(shown, Table):
        open_console().print(shown)
    elif shown is not None:
        put(shown)


def leave_result() -> None:
    """Print no result: another process of the same command does."""
    _current.value = _LEFT_TO_OTHERS


class Forwarded:
    """Output of a job: shown as it arrives, or collected for a JSON document."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Forward some text."""
        if _current.as_json:
            self.text += text
        else:
            sys.stdout.write(visible(text))
            sys.stdout.flush()


def visible(text: str) -> str:
    """Untrusted text for a terminal: control and escape characters are shown instead of executed.

    ESC becomes its symbol (U+241B) and so on; other invisible characters, which may change the text direction or cannot
    be encoded, become U+FFFD; line ends and tabs stay.
    """
    return text if text.isprintable() else "".join(c if c in "\n\t" else _visible(c) for c in text)


def plain(text: str) -> str:
    """Same as `visible`, on one line."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":  # a space of another width
        return " "
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def open_console(width: int | None = None) -> Console:
    """A console for tables and styles on stdout; text in cells and lines is made visible."""
    assert not _current.as_json, "printed outside of put_result"
    console = Console(width=width)
    console.push_render_hook(_VisibleText())
    return console


class _VisibleText(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See rich's `RenderHook`."""
        return [_Shown(each) for each in renderables]


class _Shown:
    """A renderable of rich whose text is made visible piece by piece; the styles stay rich's own."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inner, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def as_value(value: Any) -> Any:
    """`value` for JSON: dataclasses and named tuples become objects, paths text, sets sorted lists, and numbers that
    are not finite null. Raises: TypeError for anything else that JSON lacks."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_value(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return as_value(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_value(each) for key, each in value.items()}
    if isinstance(value, Set):
        return [as_value(each) for each in sorted(value)]
    if isinstance(value, list | tuple):
        return [as_value(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a scalar of NumPy
        return as_value(value.item())
    raise TypeError(f"{type(value).__name__} has no form in JSON")
