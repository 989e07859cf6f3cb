"""Names that become part of a path: one pattern, so that a name never leads out of its directory."""

from __future__ import annotations

import re
from typing import Annotated

from dclm.core.errors import ConfigError

MAX_LENGTH = 100
PATTERN = rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{MAX_LENGTH - 1}}}"
_NAME = re.compile(PATTERN)
ALLOWED = f"a name of at most {MAX_LENGTH} letters, digits and _ . + - that begins with a letter or digit"


class IsName:
    """Marks a text field whose value must be a name."""


Name = Annotated[str, IsName]
"""For configuration dataclasses: text that is part of a path, so that `../x`, `/x` and an empty text are refused."""


def is_name(text: str) -> bool:
    """Whether `text` may be part of a path: it is one component, is not hidden, and has no character that needs
    escaping."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, where: str) -> str:
    """`text`, which must be a name.

    where: what the name is for; the error begins with it. Raises: ConfigError for a path, an empty text, or anything
    else that is not a name.
    """
    if not is_name(text):
        raise ConfigError(where, f"found {text!r:.80}, allowed: {ALLOWED}", "a name is not a path")
    return text


def is_inside(path: str) -> bool:
    """Whether a relative path stays below the directory that it is relative to."""
    return bool(path) and not path.startswith("/") and "\\" not in path and ".." not in path.split("/")
