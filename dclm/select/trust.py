"""Whether a score measures what it should: compared with labels, groups, length and other scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dclm.select.classifier.metrics import average_precision, reliability, roc_auc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Names = Sequence[str | None]
RESAMPLES = 1000
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Kept fractions at which two scores are compared."""
SMALLEST_GROUP = 5
"""Minimum number of documents of a group that counts for the alarm on groups."""
EXPLAINED = 0.8
"""Fraction of the variance of ranks above which a group or the length explains a score."""
SAME = 0.95
"""Fraction of documents with the same value above which a score is constant."""
_LENGTH_BINS = 20


def ranks(values: Floats) -> Floats:
    """Rank of each value from 1; equal values share their mean rank."""
    _, place, size = np.unique(values, return_inverse=True, return_counts=True)
    mean: Floats = np.cumsum(size) - (size - 1) / 2
    return mean[place]


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation; None if one of them is constant."""
    a, b = ranks(one), ranks(other)
    if len(a) < 2 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])


def explained(values: Floats, groups: npt.NDArray[np.int64]) -> float | None:
    """Fraction of the variance of the ranks between groups, corrected for chance (epsilon squared).

    1: constant within each group; 0: groups differ no more than by chance. None for fewer than two groups, if every
    document is its own group, or if the values are constant.
    """
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    rank = ranks(values)
    total = float(((rank - rank.mean()) ** 2).sum()) if len(rank) else 0.0
    if len(size) < 2 or len(size) == len(rank) or not total:
        return None
    mean = np.bincount(group, rank) / size
    within = float(((rank - mean[group]) ** 2).sum())
    return 1 - (within / (len(rank) - len(size))) / (total / (len(rank) - 1))


def explained_by_names(values: Floats, names: Names) -> float | None:
    """`explained` over the groups of at least SMALLEST_GROUP documents."""
    known = sorted({name for name in names if name is not None})
    place = {name: number for number, name in enumerate(known)}
    group = np.array([-1 if name is None else place[name] for name in names], np.int64)
    count = np.bincount(group[group >= 0], minlength=len(known))
    large = (group >= 0) & (np.append(count, 0)[group] >= SMALLEST_GROUP)
    return explained(values[large], group[large])


def explained_by_length(values: Floats, lengths: Floats) -> float | None:
    """`explained` over twenty classes of length with as many documents each."""
    if len(values) < 2 * _LENGTH_BINS:
        return None
    place = np.floor((ranks(lengths) - 1) * _LENGTH_BINS / len(lengths)).astype(np.int64)
    return explained(values, place)


def alarms(column: str, values: Floats, lengths: Floats, groups: Mapping[str, Names]) -> list[str]:
    """Warnings about a score, in sentences."""
    found = []
    if len(values):
        _, count = np.unique(values, return_counts=True)
        if count.max() / len(values) >= SAME:
            found.append(
                f"{column} is nearly constant: {count.max() / len(values):.0%} of the documents have the same value"
            )
    for what, names in groups.items():
        share = explained_by_names(values, names)
        if share is not None and share >= EXPLAINED:
            found.append(f"{column} sorts by {what}: {share:.0%} of the variance of its ranks is between them")
    share = explained_by_length(values, lengths)
    if share is not None and share >= EXPLAINED:
        found.append(f"{column} is explained by length alone: {share:.0%} of the variance of its ranks")
    return found


def by_group(values: Floats, names: Names, top: int = 10) -> list[dict[str, object]]:
    """Number of documents, mean and quartiles of the most frequent groups."""
    members: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            members.setdefault(name, []).append(row)
    largest = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))[:top]
    return [{"group": name, **_quartiles(values[rows])} for name, rows in largest]


def by_length(values: Floats, lengths: Floats, bins: int = 5) -> list[dict[str, object]]:
    """The same for classes of length with about as many documents each."""
    place = np.floor((ranks(lengths) - 1) * bins / max(1, len(lengths)))
    table: list[dict[str, object]] = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            name = f"{int(lengths[inside].min()):,} … {int(lengths[inside].max()):,} characters"
            table.append({"group": name, **_quartiles(values[inside])})
    return table


def _quartiles(values: Floats) -> dict[str, object]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {"documents": len(values), "mean": float(values.mean()), "q25": low, "median": median, "q75": high}


class Interval(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def against_labels(scores: Floats, positive: Bools, seed: int = 0) -> dict[str, object]:
    """ROC-AUC and average precision with bootstrap intervals (with the counts of labels held fixed), and calibration.

    Calibration is given for scores that are probabilities. A score without any information has the share of positives
    as its average precision.
    """
    draw = np.random.default_rng(seed)
    good, bad = scores[positive], scores[~positive]
    resampled = []
    truth = np.repeat([True, False], [len(good), len(bad)])
    for _ in range(RESAMPLES):
        again = np.concatenate([draw.choice(good, len(good)), draw.choice(bad, len(bad))])
        resampled.append((roc_auc(again, truth), _average_precision(again, truth)))
    auc, precision = np.quantile(np.array(resampled), [0.025, 0.975], axis=0).T.tolist()
    found: dict[str, object] = {
        "documents": len(scores),
        "positives": int(positive.sum()),
        "roc_auc": Interval(roc_auc(scores, positive), *auc)._asdict(),
        "average_precision": Interval(average_precision(scores, positive), *precision)._asdict(),
    }
    if are_probabilities(scores):
        table = reliability(scores, positive)
        error = sum(row["documents"] * abs(row["mean_score"] - row["positive_fraction"]) for row in table)
        found |= {"calibration_error": error / len(scores), "reliability": table}
    return found


def are_probabilities(scores: Floats) -> bool:
    """Whether all scores are between 0 and 1, so that they can be calibrated."""
    return bool(len(scores)) and bool(scores.min() >= 0 and scores.max() <= 1)


def _average_precision(scores: Floats, positive: Bools) -> float:
    """`metrics.average_precision` without its table."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(positive[order])
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    gained = np.diff(hits[last], prepend=0)
    return float((gained * hits[last] / (last + 1)).sum() / hits[-1])


def agreement(one: Floats, other: Floats) -> dict[str, object]:
    """Rank correlation of two scores, and the fraction of one's kept documents that the other also keeps, at each kept
    fraction. Equal values are ordered by document. For unrelated scores, the overlap equals the kept fraction.
    """
    overlap = {}
    for share in SHARES:
        count = int(np.ceil(share * len(one) - 1e-9))
        first, second = (set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (one, other))
        overlap[f"{share:g}"] = len(first & second) / count if count else None
    return {"documents": len(one), "spearman": spearman(one, other), "overlap": overlap}


def most_different(one: Floats, other: Floats, count: int = 5) -> tuple[list[int], list[int]]:
    """Documents that the first score ranks far above the second, and the other way around."""
    gap = ranks(one) - ranks(other)
    order = np.argsort(-gap, kind="stable")
    above = [row for row in order[:count].tolist() if gap[row] > 0]
    below = [row for row in order[::-1][:count].tolist() if gap[row] < 0]
    return above, below
