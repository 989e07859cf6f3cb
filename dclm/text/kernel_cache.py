"""Where compiled kernels are cached: one folder for each state of the sources, so that none is ever out of date.

Numba only checks the file that contains a kernel, and would continue to use one compiled with older versions of the
kernels that it calls. Truncated files are compiled again. NUMBA_CACHE_DIR still takes precedence if it is set; numba
skips a folder that cannot be written to.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

from numba import config
from numba.core import caching

KERNEL_FOLDERS = ("text", "filters", "dedup", "tokens")


def sources_digest() -> str:
    """Hash of the names and contents of all files that contain kernels."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(path for folder in KERNEL_FOLDERS for path in (package / folder).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def load_or_forget(cache: caching.Cache, signature: object, target: object) -> object:
    """Load a compiled kernel; if its files are damaged, empty the function's cache and return None. A full disk or a
    crash leaves truncated files, on which numba would raise an EOFError in the caller; this way the kernel is compiled
    again.
    """
    load: Callable[..., object] = _load_overload
    forget: Callable[[], None] = cache.flush
    try:
        return load(cache, signature, target)
    except _DAMAGED:
        forget()
        return None


_load_overload = caching.Cache.load_overload
_DAMAGED = (
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    RuntimeError,
)


def use() -> None:
    """Let numba cache kernels decorated from now on in ~/.cache/dclm (or XDG_CACHE_HOME)."""
    setattr(caching.Cache, "load_overload", load_or_forget)  # noqa: B010
    if not getattr(config, "CACHE_DIR", ""):  # numba.config creates its names at run time
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        setattr(config, "CACHE_DIR", str(Path(home).expanduser() / "dclm" / f"kernels-{sources_digest()}"))  # noqa: B010
