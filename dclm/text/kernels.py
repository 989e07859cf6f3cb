"""How kernels that allocate nothing are compiled."""

from __future__ import annotations

from numba import njit

lean = njit(cache=True, nogil=True, _nrt=False)
"""For functions that make no array and no other object: compiled without numba's run-time system.

With it, numba counts the references to each array at each call and each inlined function, by atomic operations. In a
loop over bytes they cost several times what the loop does. A function that allocates hands its loops to one that does
not. Compiling fails for a function that allocates after all.
"""
