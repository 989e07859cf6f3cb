"""Where compiled kernels are kept: one folder for each state of the sources, so that none is ever out of date.

Numba looks only at the file a kernel stands in and would go on using one compiled with older versions of the kernels it
calls. NUMBA_CACHE_DIR still decides where it is set; a folder that cannot be written is passed over by numba.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config

KERNEL_FOLDERS = ("text", "filters", "dedup")


def sources_digest() -> str:
    """Of the names and contents of all files that hold kernels."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(path for folder in KERNEL_FOLDERS for path in (package / folder).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def use() -> None:
    """Let numba keep kernels that are decorated from now on in ~/.cache/dclm (or XDG_CACHE_HOME)."""
    if not getattr(config, "CACHE_DIR", ""):  # numba.config makes its names at run time
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        setattr(config, "CACHE_DIR", str(Path(home).expanduser() / "dclm" / f"kernels-{sources_digest()}"))  # noqa: B010
