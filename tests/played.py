"""Pages of the documentation, played: their files are written, their commands run, their expected output compared."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'^```(console|python|yaml|json|text)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


class Command(NamedTuple):
    """A line that begins with `$`, and the lines below it."""

    words: list[str]
    expected: list[str]


def matches(expected: str, line: str) -> bool:
    """Whether a printed line is the expected one: runs of spaces count as one, `…` stands for anything."""
    parts = (r"\s+".join(map(re.escape, part.split())) for part in expected.split("…"))
    return re.fullmatch(r".*".join(parts), " ".join(line.split())) is not None


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        yield Command(shlex.split(command), expected)


def missing(expected: Sequence[str], printed: str) -> str | None:
    """The first expected line that was not printed, after the one before it; None if all were."""
    lines = iter(printed.splitlines())
    return next((line for line in expected if not any(matches(line, said) for said in lines)), None)


def play(page: Path, folder: Path, run: Callable[[Command], str]) -> tuple[int, int]:
    """Write the files of a page into `folder` and call `run` for each command, which returns what it printed.

    Returns the numbers of commands and files. Raises: AssertionError if an expected line was not printed.
    """
    played = files = 0
    for kind, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if title:
            (folder / title).write_text(text, encoding="utf-8")
            files += 1
        elif kind == "console":
            for command in commands(text):
                printed = run(command)
                lacking = missing(command.expected, printed)
                assert lacking is None, f"`{shlex.join(command.words)}` did not print `{lacking}`, but\n{printed}"
                played += 1
    return played, files
