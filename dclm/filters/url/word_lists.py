"""Word and domain lists: plain text or gzip, one entry per line."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context

_CASE = str.maketrans({"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"})  # what re.IGNORECASE adds for ASCII


def fold_case(text: str) -> str:
    """`text` folded so that equality of folded texts is `re.IGNORECASE` equality, for patterns of ASCII letters."""
    return text if text.isascii() and text.islower() else text.translate(_CASE).lower()


def read_list(path: Path) -> list[str]:
    """The non-empty lines of a list, in order. Nothing else is stripped, and comments are not supported.

    Raises: AssetError if the file is not UTF-8 text (or gzip of it).
    """
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise AssetError(str(path), f"not a list in UTF-8 (or gzip of one): {error}") from None
    return [line for line in text.splitlines() if line]


def check_source(list_: str | None, words: Sequence[str]) -> None:
    """Raises ValueError unless exactly one of `list` and `words` is given."""
    if (list_ is None) == (not words):
        raise ValueError("give either `list` (a file or asset) or `words`")


def load_words(context: Context, list_: str | None, words: Sequence[str]) -> list[str]:
    """The entries that a step's `list` or `words` names.

    Raises: ConfigError for an empty list, which would filter nothing.
    """
    entries = read_list(context.file(list_)) if list_ is not None else [w for w in words if w]
    if not entries:
        raise ConfigError(list_ or "words", "the list has no entries", "remove the step or add entries to the list")
    return entries
