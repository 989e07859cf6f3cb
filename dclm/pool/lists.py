"""Lists of files: `@FILE` stands for the paths and URLs in FILE, such as DCLM's list of a scale's pool."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from dclm.core.errors import DataError
from dclm.core.storage import is_local, open_input

MARK = "@"
COMMON_CRAWL = "https://data.commoncrawl.org/"
_OF_COMMON_CRAWL = ("crawl-data/", "contrib/", "cc-index/")
"""How paths begin that Common Crawl's own lists name without a server."""


def expanded(paths: Iterable[str]) -> Iterator[str]:
    """The paths, with those in lists instead of the lists. Raises: DataError if a list cannot be read or is empty."""
    for path in paths:
        if path.startswith(MARK):
            yield from read_list(path.removeprefix(MARK))
        else:
            yield path


def read_list(path: str) -> list[str]:
    """The paths in a list. Empty lines and those that begin with `#` are skipped.

    A relative path starts from the list's own directory, and one of Common Crawl (`crawl-data/…`) from its server.
    Raises: DataError if the file cannot be read, is not UTF-8 or names nothing.
    """
    try:
        with open_input(path) as file:
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f"after {MARK} give a text file with one path or URL per line"
        raise DataError(f"{MARK}{path}", f"cannot be read as a list: {error}", hint) from None
    lines = [line.strip() for line in text.splitlines()]
    found = [_address(line, path) for line in lines if line and not line.startswith("#")]
    if not found:
        raise DataError(f"{MARK}{path}", "the list names no file", "allowed: one path or URL per line")
    return found


def _address(line: str, path: str) -> str:
    if line.startswith(_OF_COMMON_CRAWL):
        return COMMON_CRAWL + line
    if "://" in line or not is_local(path):
        return line
    return os.path.join(os.path.dirname(path), line)
