"""Whether an error of any library means that memory ran out."""

from __future__ import annotations

import errno

_SAYINGS = (
    "failed to map segment",  # from the loader, for a library that an import needs
    "cannot allocate memory",
    "can't allocate memory",  # torch
    "can't start new thread",
    "out of memory",
    "bad_alloc",
)


def is_memory_full(error: BaseException) -> bool:
    """Whether `error` or its cause means that memory ran out, which libraries report in different words."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        said = str(each).lower()
        if isinstance(each, MemoryError) or getattr(each, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(each, ImportError | OSError | RuntimeError) and any(saying in said for saying in _SAYINGS):
            return True
        each = each.__cause__ or each.__context__
    return False
