"""How kernels that allocate nothing are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])
_compile: Callable[..., Callable[[F], F]] = njit


def lean(function: F) -> F:
    """Compile a function that makes no array and no other object, without numba's run-time system.

    With it, numba counts the references to each array at each call and each inlined function, by atomic operations. In
    a loop over bytes they take several times as long as the loop does. A function that allocates hands its loops to one
    that does not. Compiling fails for a function that allocates after all.
    """
    compiled: F = _compile(cache=True, nogil=True, _nrt=False)(function)
    return compiled
