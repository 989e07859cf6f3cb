"""Where compiled kernels are cached: one folder for each state of a file and of the files whose kernels it calls.

Numba only checks the file that contains a kernel, and would continue to use one compiled with older versions of the
kernels that it calls. A folder's name has the hash of all of them, so none is ever out of date, and an edit compiles
only what depends on it again. Names do not depend on where the package is: kernels in the image of a cluster's nodes
also serve copies of the package that are sent with a job. Truncated files are compiled again. NUMBA_CACHE_DIR still
takes precedence if it is set; numba skips a folder that cannot be written to.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

from numba import config
from numba.core import caching

KERNEL_FOLDERS = ("text", "filters", "dedup", "tokens", "select/semantic")
_PACKAGE = Path(__file__).resolve().parent.parent
_MEMBER = re.compile(r"(\w+)(?:\s+as\s+\w+)?")
_IMPORT = re.compile(r"^\s*(?:from (dclm[.\w]*) import ([^(\n]+|\([^)]*\))|import (dclm[.\w]*))", re.MULTILINE)


@functools.cache
def imported(path: Path) -> frozenset[Path]:
    """The files in `KERNEL_FOLDERS` that the one at `path` imports directly."""
    found: set[Path] = set()
    for source, names, module in _IMPORT.findall(path.read_text(encoding="utf-8")):
        parts = (source or module).split(".")[1:]
        members = _MEMBER.findall(names)
        for place in ("/".join(parts), *("/".join([*parts, member]) for member in members)):
            found |= {file for file in (_PACKAGE / f"{place}.py", _PACKAGE / place / "__init__.py") if file.is_file()}
    found |= {file.parent / "__init__.py" for file in found}
    folders = [_PACKAGE / folder for folder in KERNEL_FOLDERS]
    return frozenset(file for file in found if any(folder in file.parents for folder in folders))


@functools.cache
def sources_digest(path: Path) -> str:
    """Hash of the names and contents of the file at `path` and of all files that it imports, directly or not."""
    files, left = {path}, [path]
    while left:
        new = imported(left.pop()) - files
        files |= new
        left += new
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_folder(path: str) -> str:
    """The name of the folder for the kernels in a file: numba's own for those of other packages."""
    file = Path(path).resolve()
    if _PACKAGE not in file.parents:
        name: str = _numbas_folder(path)
        return name
    return f"{'.'.join(file.relative_to(_PACKAGE).with_suffix('').parts)}-{sources_digest(file)}"


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


_numbas_folder: Callable[[str], str] = caching.UserProvidedCacheLocator.get_suitable_cache_subpath
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
    setattr(caching.UserProvidedCacheLocator, "get_suitable_cache_subpath", staticmethod(cache_folder))  # noqa: B010
    if not getattr(config, "CACHE_DIR", ""):  # numba.config creates its names at run time
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        setattr(config, "CACHE_DIR", str(Path(home).expanduser() / "dclm" / "kernels"))  # noqa: B010
