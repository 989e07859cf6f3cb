"""Environment variables in files that others may have written: which ones a recipe may read, and where their values may
be used.

A recipe may be untrusted. It may use variables for places that differ between machines (`DATA`, `SCRATCH` …) and those
that the user allows with `--env`. It never reads a variable that looks like a secret, and puts none into a URL unless
the user allows it by name, because a URL is sent to its host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from dclm.core.errors import ConfigError

ALLOWED = frozenset(
    {
        "DATA", "DATA_DIR", "DATASETS", "DCLM_ASSETS", "DCLM_CACHE", "DCLM_SCRATCH", "DCLM_SHARED", "HOME", "LOGNAME",
        "PROJECT", "PWD", "SCRATCH", "SHARED", "SLURM_JOB_ID", "SLURM_TMPDIR", "TMPDIR", "USER", "XDG_CACHE_HOME",
    }
)  # fmt: skip
"""Variables that any recipe may read: names of places and of the user."""
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|PWD_|CREDENTIAL|AUTH|COOKIE|SESSION|PRIVATE|SIGNATURE|CERT", re.I)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def looks_secret(name: str) -> bool:
    """Whether a variable of this name may hold a secret."""
    return _SECRET.search(name) is not None


def fill_variables(text: str, named: Collection[str] = ()) -> str:
    """`text` with `${NAME}` and `${NAME:-default}` replaced; a value that is an existing path becomes absolute.

    named: variables that the user allows with `--env`, also inside URLs. Raises: ConfigError for a variable that may
    not be read, one that is not set and has no default, and one whose value would become part of a URL. No error
    contains the value.
    """
    inside: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        _require_allowed(text, name, named)
        value = os.environ.get(name)
        if value is None:
            if default is None:
                raise ConfigError(text, f"the environment variable {name} is not set", f"export {name}=…")
            return str(default)
        if name not in named and not (match.start() == 0 and "://" in value):
            inside.append(name)
        return os.path.abspath(value) if os.path.exists(value) else value

    filled = _VARIABLE.sub(fill, text)
    scheme, separator, _ = filled.partition("://")
    if separator and scheme != "file" and inside:
        what = f"would send the environment variable {inside[0]} to a server, as part of a URL"
        raise ConfigError(text, what, f"pass --env {inside[0]} if you trust this file with it")
    return filled


def _require_allowed(text: str, name: str, named: Collection[str]) -> None:
    if looks_secret(name):
        what = f"reads the environment variable {name}, whose name looks like a secret"
        raise ConfigError(text, what, "if it is not a secret, use a variable with another name")
    if name not in ALLOWED and name not in named:
        what = f"reads the environment variable {name}, allowed: {', '.join(sorted({*ALLOWED, *named}))}"
        raise ConfigError(text, what, f"pass --env {name} if you trust this file with it")
