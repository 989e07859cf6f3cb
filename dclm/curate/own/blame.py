"""Errors in a user's code are shown as the user's: file, line and Python's message, without a traceback through
`dclm`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

from dclm.core.errors import ConfigError, DclmError
from dclm.curate.own.code import MARK, OwnCode

HINT = "this line belongs to the pipeline's own code: fix it and run the command again"


@contextlib.contextmanager
def blamed(where: str = "") -> Iterator[None]:
    """Convert an exception that comes out of a user's code to a ConfigError that names their line.

    where: the input of the code, such as a document's id, at the end of the message. Any other exception passes
    unchanged, and so does a DclmError that the user's code raises on purpose.
    """
    try:
        yield
    except DclmError:
        raise
    except Exception as error:
        found = _own_line(error.__traceback__)
        if found is None:
            raise
        place, line = found
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        what = f"{said}, in `{line}`" if line else said
        blame = ConfigError(place, what + (f", {where}" if where else ""), HINT)
        for note in getattr(error, "__notes__", ()):
            blame.add_note(note)
        raise blame from None


def syntax_error(error: SyntaxError) -> ConfigError:
    """The error for a source that does not parse."""
    line = (error.text or "").strip()
    what = f"{type(error).__name__}: {error.msg}" + (f", in `{line}`" if line else "")
    return ConfigError(f"{error.filename}:{error.lineno}", what, HINT)


def _own_line(traceback: TracebackType | None) -> tuple[str, str] | None:
    """`file:line` and the text of the innermost line of the user's code; None if none of it was running."""
    found = None
    while traceback is not None:
        scope = traceback.tb_frame.f_globals
        code = scope.get(MARK)
        if isinstance(code, OwnCode):
            module = str(scope["__name__"]).removeprefix(f"{code.alias}.")
            source = code.sources.get(module, "").splitlines()
            number = traceback.tb_lineno
            line = source[number - 1].strip() if 0 < number <= len(source) else ""
            found = f"{code.files.get(module, module)}:{number}", line
        traceback = traceback.tb_next
    return found
