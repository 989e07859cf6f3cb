"""Spherical k-means over tables that are read one at a time: the clusters do not depend on the machine's threads.

Sums of clusters are float64, in the order of the tables. `dclm.select.semantic.nearest` finds the clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dclm.select.semantic.nearest import Ints, nearest
from dclm.select.semantic.vectors import Vectors


class Clusters(NamedTuple):
    """The result of k-means."""

    centroids: Vectors
    """[K, d], of length 1."""
    objective: list[float]
    """Mean cosine similarity of a vector with its centroid, before each update and at the end."""


@njit(cache=True, nogil=True)
def _add(sums: npt.NDArray[np.float64], vectors: Vectors, place: Ints) -> None:
    for row in range(len(place)):
        total, vector = sums[place[row]], vectors[row]
        for dimension in range(len(vector)):
            total[dimension] += vector[dimension]


def spherical_kmeans(tables: Iterable[Vectors], seeds: Vectors, iterations: int) -> Clusters:
    """Clusters of unit vectors; `tables` is read once per iteration. An empty cluster keeps its centroid.

    tables: [N, d] each; seeds: [K, d], the initial centroids.
    """
    centroids = seeds.astype(np.float32)
    objective = []
    for turn in range(iterations + 1):
        sums = np.zeros(centroids.shape, np.float64)
        total, count = 0.0, 0
        for vectors, place, similarity in assigned(tables, centroids):
            total += float(similarity.sum(dtype=np.float64))
            count += len(place)
            _add(sums, vectors, place)
        objective.append(total / max(1, count))
        if turn == iterations or (turn and objective[-1] == objective[-2]):
            break
        length = np.sqrt((sums**2).sum(1))
        moved = length > 0
        centroids[moved] = (sums[moved] / length[moved, None]).astype(np.float32)
    return Clusters(centroids, objective)


def assigned(tables: Iterable[Vectors], centroids: Vectors) -> Iterator[tuple[Vectors, Ints, Vectors]]:
    """Each table with the cluster of each vector and the similarity to its centroid."""
    for vectors in tables:
        found, best = nearest(vectors, centroids)
        yield vectors, found, best
