"""How well scores separate two classes: accuracy, ROC, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def roc_auc(scores: Floats, positive: Bools) -> float:
    """Probability that a positive scores above a negative, ties counted half; NaN without both classes."""
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(size) - (size - 1) / 2
    above = float(mean_rank[group][positive].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * num_negative)


def precision_recall(scores: Floats, positive: Bools) -> list[dict[str, float]]:
    """Precision, recall and kept fraction for each distinct score used as the threshold (>=), highest first."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(positive[order])
    last = np.append(scores[1:] != scores[:-1], True) if len(scores) else np.zeros(0, np.bool_)
    kept = np.flatnonzero(last) + 1
    return [
        {
            "threshold": float(scores[n - 1]),
            "precision": float(hits[n - 1] / n),
            "recall": float(hits[n - 1] / max(1, hits[-1])),
            "kept": n / len(scores),
        }
        for n in kept.tolist()
    ]


def average_precision(scores: Floats, positive: Bools) -> float:
    """Precision averaged over the positives (area under the step-wise precision-recall curve)."""
    area, recall = 0.0, 0.0
    for point in precision_recall(scores, positive):
        area += (point["recall"] - recall) * point["precision"]
        recall = point["recall"]
    return area


def reliability(scores: Floats, positive: Bools, bins: int = 10) -> list[dict[str, float]]:
    """For each of equally wide bins of the score: number of documents, mean score and fraction of positives."""
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    table = []
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        table.append(
            {
                "low": index / bins,
                "high": (index + 1) / bins,
                "documents": count,
                "mean_score": float(scores[inside].mean()) if count else 0.0,
                "positive_fraction": float(positive[inside].mean()) if count else 0.0,
            }
        )
    return table


def summarize(scores: Floats, positive: Bools) -> dict[str, object]:
    """The metrics stored in a record; numbers that cannot be computed (no documents, one class) are null."""
    if not len(scores) or positive.all() or not positive.any():
        return {"documents": len(scores), "roc_auc": None}
    table = reliability(scores, positive)
    error = sum(row["documents"] * abs(row["mean_score"] - row["positive_fraction"]) for row in table) / len(scores)
    return {
        "documents": len(scores),
        "positives": int(positive.sum()),
        "accuracy": float(((scores >= 0.5) == positive).mean()),
        "roc_auc": roc_auc(scores, positive),
        "average_precision": average_precision(scores, positive),
        "calibration_error": error,
        "reliability": table,
    }


def summarize_classes(scores: Floats, truth: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, object]:
    """The metrics stored in the record of a classifier with several classes.

    scores: [documents, classes], probabilities; truth: [documents], indices into `names`. Recall and precision are null
    for a class that has no document, or is never predicted.
    """
    if not len(truth):
        return {"documents": 0, "accuracy": None}
    taken = scores.argmax(1)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (truth, taken), 1)
    hits, of_class, as_class = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    classes: dict[str, object] = {}
    f1 = []
    for number, name in enumerate(names):
        if of_class[number]:
            f1.append(2 * hits[number] / (of_class[number] + as_class[number]))
        auc = roc_auc(scores[:, number], truth == number)
        classes[name] = {
            "documents": int(of_class[number]),
            "precision": float(hits[number] / as_class[number]) if as_class[number] else None,
            "recall": float(hits[number] / of_class[number]) if of_class[number] else None,
            "roc_auc": None if np.isnan(auc) else auc,
        }
    return {
        "documents": len(truth),
        "accuracy": float(hits.sum() / len(truth)),
        "macro_f1": float(np.mean(f1)),
        "classes": classes,
        "confusion": confusion.tolist(),
    }
