"""What a command prints, and how much: `say` for people, `put` for results, JSON instead of both on request.

Results go to stdout, everything else to stderr. With `--json`, stdout gets exactly one JSON document: the value that
the command gives, JSON that it prints itself, or the lines of its tables.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

_NOTHING = object()
_WIDTH = 200
"""Of tables whose lines become part of a JSON document."""


@dataclasses.dataclass(kw_only=True)
class Output:
    """How the command that runs prints."""

    verbose: bool = False
    quiet: bool = False
    as_json: bool = False
    value: object = _NOTHING
    printed: io.StringIO = dataclasses.field(default_factory=io.StringIO)
    """What `put` and consoles wrote, with `as_json`."""

    def document(self) -> str | None:
        """The JSON document; None if the command printed nothing."""
        text = self.printed.getvalue().rstrip("\n")
        if self.value is not _NOTHING:
            return json.dumps(self.value, indent=1, ensure_ascii=False, default=str)
        if not text:
            return None
        try:
            json.loads(text)
        except ValueError:
            return json.dumps({"lines": text.split("\n")}, indent=1, ensure_ascii=False)
        return text


_current = Output()


def current() -> Output:
    """How the command that runs prints."""
    return _current


@contextmanager
def printing(*, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> Iterator[Output]:
    """Print like this inside the block. Unless it fails, the JSON document is printed, if one was requested."""
    global _current
    before, _current = _current, Output(verbose=verbose, quiet=quiet, as_json=as_json)
    finished = False
    try:
        yield _current
        finished = True
    except SystemExit:  # the verdict of a command that has printed its result
        finished = True
        raise
    finally:
        found = _current.document() if as_json and finished else None
        _current = before
        if found is not None:
            put(found)


def wants_json() -> bool:
    """Whether the command that runs was asked for JSON."""
    return _current.as_json


def complain(text: str) -> None:
    """Print a line on stderr that nobody may miss: an error."""
    print(visible(text), file=sys.stderr)


def say(text: str) -> None:
    """Print a line for the user on stderr, unless the command is to be quiet; stdout is for data."""
    if not _current.quiet:
        complain(text)


def put(text: object) -> None:
    """Print a line on stdout, for people and programs. All output of commands goes through here, `put_result`, `say` or
    `open_console`."""
    if _current.as_json:
        _current.printed.write(f"{text}\n")
    else:
        print(visible(str(text)))


def put_result(value: object, text: Callable[[], object]) -> None:
    """Print the result of a command: `value` as JSON if that was requested, otherwise what `text` returns."""
    if _current.as_json:
        _current.value = value
    else:
        put(text())


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
    console = Console(file=_current.printed, width=_WIDTH) if _current.as_json else Console(width=width)
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
    """Dataclasses and named tuples as plain values for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value._asdict() if hasattr(value, "_asdict") else value
