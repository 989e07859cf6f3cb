"""Where compiled kernels are cached: one folder for each state of the sources, so that none is ever out of date.

Numba only checks the file that contains a kernel, and would continue to use one compiled with older versions of the
kernels that it calls. NUMBA_CACHE_DIR still takes precedence if it is set; numba skips a folder that cannot be written
to.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config

KERNEL_FOLDERS = ("text", "filters", "dedup")


def sources_digest() -> str:
    """Hash of the names and contents of all files that contain kernels."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(path for folder in KERNEL_FOLDERS for path in (package / folder).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def use() -> None:
    """Let numba cache kernels decorated from now on in ~/.cache/dclm (or XDG_CACHE_HOME)."""
    if not getattr(config, "CACHE_DIR", ""):  # numba.config creates its names at run time
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        setattr(config, "CACHE_DIR", str(Path(home).expanduser() / "dclm" / f"kernels-{sources_digest()}"))  # noqa: B010
