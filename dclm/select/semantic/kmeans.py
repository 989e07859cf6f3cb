"""Spherical k-means over tables that are read one at a time: the clusters do not depend on the machine's threads.

Products are summed in one order, dimension after dimension, and vectorized over the clusters, so that no library
affects the order. Sums of clusters are float64, in the order of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dclm.select.semantic.vectors import Vectors

Ints = npt.NDArray[np.int64]


class Clusters(NamedTuple):
    """The result of k-means."""

    centroids: Vectors
    """[K, d], of length 1."""
    objective: list[float]
    """Mean cosine similarity of a vector with its centroid, before each update and at the end."""


@njit(cache=True, nogil=True)
def nearest(vectors: Vectors, by_dimension: Vectors) -> tuple[Ints, Vectors]:
    """The cluster of each of [N, d] with the highest dot product, the first among equals, and that product.

    by_dimension: [d, K], the transpose of the centroids.
    """
    count, size = vectors.shape
    clusters = by_dimension.shape[1]
    found = np.zeros(count, np.int64)
    best = np.zeros(count, np.float32)
    products = np.zeros(clusters, np.float32)
    for row in range(count):
        products[:] = 0
        for dimension in range(size):
            x = vectors[row, dimension]
            for cluster in range(clusters):
                products[cluster] += x * by_dimension[dimension, cluster]
        place = 0
        for cluster in range(1, clusters):
            if products[cluster] > products[place]:
                place = cluster
        found[row], best[row] = place, products[place]
    return found, best


@njit(cache=True, nogil=True)
def _add(sums: npt.NDArray[np.float64], vectors: Vectors, place: Ints) -> None:
    for row in range(len(place)):
        for dimension in range(vectors.shape[1]):
            sums[place[row], dimension] += vectors[row, dimension]


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
    by_dimension = np.ascontiguousarray(centroids.T)
    for vectors in tables:
        found, best = nearest(np.ascontiguousarray(vectors), by_dimension)
        yield vectors, found, best


@njit(cache=True, nogil=True)
def nearest_before(vectors: Vectors) -> tuple[Vectors, Ints]:
    """For each of [N, d], the highest dot product with an earlier vector, and that vector's index; −1 for the first."""
    count = len(vectors)
    best = np.full(count, -1.0, np.float32)
    place = np.full(count, -1, np.int64)
    turned = np.ascontiguousarray(vectors.T)
    products = np.zeros(count, np.float32)
    for row in range(1, count):
        products[:row] = 0
        for dimension in range(vectors.shape[1]):
            x = vectors[row, dimension]
            for other in range(row):
                products[other] += x * turned[dimension, other]
        top = 0
        for other in range(1, row):
            if products[other] > products[top]:
                top = other
        best[row], place[row] = products[top], top
    return best, place
