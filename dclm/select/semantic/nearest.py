"""The most similar of many vectors, by dot products that are the same on every machine.

A product is summed dimension after dimension, in float32 and without fused operations, so that no library and no
number of threads affects the order. Blocks of rows lie next to each other in memory: the loops are vectorized over
rows, and four candidates and four dimensions at a time keep sums in registers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dclm.select.semantic.vectors import Vectors

Ints = npt.NDArray[np.int64]
Four = tuple[float, float, float, float]

_ROWS = 64
_UNROLLED = 4


def nearest(vectors: Vectors, centroids: Vectors) -> tuple[Ints, Vectors]:
    """For each of [N, d], the one of [K, d] with the highest dot product, the first among equals, and that product."""
    return _highest(_padded(vectors), _padded(centroids), False)


def nearest_before(vectors: Vectors) -> tuple[Vectors, Ints]:
    """For each of [N, d], the highest dot product with an earlier vector, and that vector's index; −1 for the first."""
    padded = _padded(vectors)
    place, best = _highest(padded, padded, True)
    best[:1], place[:1] = -1, -1
    return best, place


def _padded(vectors: Vectors) -> Vectors:
    """With zeros up to a multiple of four dimensions, which leave every sum as it is."""
    spare = -vectors.shape[1] % _UNROLLED
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, spare))) if spare else vectors)


@njit(cache=True, nogil=True)
def _highest(vectors: Vectors, candidates: Vectors, earlier: bool) -> tuple[Ints, Vectors]:
    """The place and value of the highest product; with `earlier`, a row's candidates are those with a lower index."""
    count, size = vectors.shape
    found = np.zeros(count, np.int64)
    best = np.zeros(count, np.float32)
    block = np.zeros((size, _ROWS), np.float32)
    products = np.zeros((_UNROLLED, _ROWS), np.float32)
    p0, p1, p2, p3 = products[0], products[1], products[2], products[3]
    top = np.zeros(_ROWS, np.float32)
    place = np.zeros(_ROWS, np.int32)
    for start in range(0, count, _ROWS):
        rows = min(_ROWS, count - start)
        for row in range(rows):
            for dimension in range(size):
                block[dimension, row] = vectors[start + row, dimension]
        top[:] = -np.inf
        place[:] = 0
        last = (start + rows - 1 if earlier else len(candidates)) - 1
        for first in range(0, last + 1, _UNROLLED):
            c1, c2, c3 = min(first + 1, last), min(first + 2, last), min(first + 3, last)
            products[:] = 0
            for d in range(0, size, _UNROLLED):
                w0, w1 = _weights(candidates, first, d), _weights(candidates, c1, d)
                w2, w3 = _weights(candidates, c2, d), _weights(candidates, c3, d)
                for row in range(_ROWS):
                    x = (block[d, row], block[d + 1, row], block[d + 2, row], block[d + 3, row])
                    p0[row] = _sum(p0[row], w0, x)
                    p1[row] = _sum(p1[row], w1, x)
                    p2[row] = _sum(p2[row], w2, x)
                    p3[row] = _sum(p3[row], w3, x)
            for number in range(_UNROLLED):
                candidate = min(first + number, last)
                product = products[number]
                if candidate < start or not earlier:
                    for row in range(_ROWS):
                        higher = product[row] > top[row]
                        top[row] = product[row] if higher else top[row]
                        place[row] = candidate if higher else place[row]
                else:
                    for row in range(candidate - start + 1, rows):
                        if product[row] > top[row]:
                            top[row], place[row] = product[row], candidate
        for row in range(rows):
            found[start + row], best[start + row] = place[row], top[row]
    return found, best


@njit(cache=True, nogil=True, inline="always")
def _weights(candidates: Vectors, candidate: int, d: int) -> Four:
    """Four dimensions of a candidate, read before the loop over rows."""
    w = candidates[candidate]
    return w[d], w[d + 1], w[d + 2], w[d + 3]


@njit(cache=True, nogil=True, inline="always")
def _sum(total: float, w: Four, x: Four) -> float:
    """Four more terms of a sum, one after the other."""
    return total + w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3]
