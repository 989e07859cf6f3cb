"""The number of bands and rows that find near-duplicates above a threshold."""

from __future__ import annotations

from typing import NamedTuple

from dclm.core.errors import ConfigError

MOST_PERMUTATIONS = 10_000
"""datasketch tries every shape: its time grows with n·log n, and one try is a numerical integration."""


class Bands(NamedTuple):
    """The shape of a MinHash index: `bands × rows` permutations."""

    bands: int
    rows: int

    def found(self, jaccard: float) -> float:
        """Probability that two documents of this Jaccard index become candidates."""
        return 1.0 - (1.0 - jaccard**self.rows) ** self.bands

    def found_contained(self, containment: float, ratio: float) -> float:
        """Probability that a document becomes a candidate with one `ratio` times as long that contains the fraction c
        of it.

        The Jaccard index of such a pair is c / (1 + ratio − c).
        """
        return self.found(containment / (1.0 + ratio - containment))

    @property
    def threshold(self) -> float:
        """The Jaccard index at which that probability is one half."""
        return float((1.0 - 0.5 ** (1.0 / self.bands)) ** (1.0 / self.rows))


def best_bands(threshold: float, permutations: int, recall_weight: float = 0.5) -> Bands:
    """The shape with at most `permutations` that datasketch chooses for `threshold`.

    It minimizes the area of false positives (candidates below the threshold) and of false negatives (pairs above it
    that are not found) under the curve of `Bands.found`, with the latter weighted by `recall_weight`. Raises:
    ConfigError for a threshold, weight or number of permutations that datasketch cannot handle. Source:
    `datasketch.MinHashLSH(threshold, num_perm, weights=(1 − recall_weight, recall_weight))`.
    """
    from datasketch import MinHashLSH

    if not 0 < threshold < 1:
        raise ConfigError("threshold", f"found {threshold:g}, allowed: above 0 and below 1", "0.8 is usual")
    if not 0 <= recall_weight <= 1:
        raise ConfigError("recall weight", f"found {recall_weight:g}, allowed: 0 to 1", "0.5 weighs both equally")
    if not 2 <= permutations <= MOST_PERMUTATIONS:
        raise ConfigError(
            "permutations", f"found {permutations:,}, allowed: 2 to {MOST_PERMUTATIONS:,}", "128 to 1,395 are usual"
        )
    try:
        found = MinHashLSH(threshold=threshold, num_perm=permutations, weights=(1 - recall_weight, recall_weight))
    except ValueError as error:
        what = f"no shape of two bands or more for {threshold:g} with {permutations:,} permutations ({error})"
        raise ConfigError("threshold", what, "use more permutations or a lower threshold") from error
    return Bands(bands=found.b, rows=found.r)
