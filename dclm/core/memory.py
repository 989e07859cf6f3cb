"""Whether an error means that there was not enough memory, whichever library raised it."""

from __future__ import annotations

import errno

_SAYINGS = (
    "failed to map segment",  # the loader, of a library that an import needs
    "cannot allocate memory",
    "can't allocate memory",  # torch
    "can't start new thread",
    "out of memory",
    "bad_alloc",
)


def is_memory_full(error: BaseException) -> bool:
    """Whether `error`, or what caused it, says that memory ran out. Libraries have many words for it."""
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
