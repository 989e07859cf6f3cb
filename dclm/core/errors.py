"""The errors that `dclm` raises on purpose, each with the exit code the command line gives it.

    DclmError
    ├── ConfigError       exit 2   the user's YAML or arguments are wrong
    ├── DataError         exit 3   the input data cannot be used
    │   └── AssetError    exit 3   a pinned external file is missing or has the wrong hash
    └── IncompleteError   exit 4   an artifact exists only in part

Anything else that propagates is a bug: exit 1, with a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_USERINFO = re.compile(r"://[^/@\s\"']+@")


def without_passwords(text: str) -> str:
    """`text` without the user and password in any URL: errors and records get shared."""
    return _USERINFO.sub("://…@", text)


class Problem(NamedTuple):
    """One problem: where it is, what was found and what is allowed, and how to fix it."""

    where: str
    what: str
    hint: str | None = None


def _without_passwords(problem: Problem) -> Problem:
    where, what, hint = problem
    return Problem(without_passwords(where), without_passwords(what), hint and without_passwords(hint))


class DclmError(Exception):
    """Base of all deliberate errors. Rendered in three lines at most: where · what · `hint: …`.

    Several problems found at once are one line each, followed by the first hint.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, hint: str | None = None, *, others: Sequence[Problem] = ()) -> None:
        told = (Problem(where, what, hint), *others)
        self.problems: tuple[Problem, ...] = tuple(_without_passwords(problem) for problem in told)
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problems, getattr(self, "__notes__", []))

    def __str__(self) -> str:
        if len(self.problems) == 1:
            where, what, hint = self.problems[0]
            lines = [where, what]
        else:
            lines = [f"{p.where}: {p.what}" for p in self.problems]
            hint = next((p.hint for p in self.problems if p.hint), None)
        return "\n".join(lines + ([f"hint: {hint}"] if hint else []))


def _rebuild(kind: type[DclmError], problems: tuple[Problem, ...], notes: list[str]) -> DclmError:
    error = kind(*problems[0], others=problems[1:])
    for note in notes:
        error.add_note(note)
    return error


class ConfigError(DclmError):
    """A recipe, pipeline, task file or argument contains something that is not allowed."""

    exit_code = 2


class DataError(DclmError):
    """Input data is missing, corrupt, or not in the format that its reader needs."""

    exit_code = 3


class AssetError(DataError):
    """A pinned external file cannot be found or its sha256 differs."""


class IncompleteError(DclmError):
    """An artifact has no record, or its record says that parts are missing."""

    exit_code = 4
