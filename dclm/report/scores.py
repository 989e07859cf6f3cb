"""Checks whether a score column can be trusted: reads the documents of an artifact and judges one or two columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import strings, to_list
from dclm.core.errors import ConfigError, DataError
from dclm.documents.artifact import Artifact, numbers
from dclm.documents.schema import DOCUMENT
from dclm.select import trust
from dclm.select.classifier.metrics import precision_recall, summarize
from dclm.select.classifier.score import ClassifierJudgment, read_labelled
from dclm.select.groups import DOMAIN, SOURCE, group_names

MOST = 200_000
"""Maximum number of documents to read; in larger artifacts, every k-th."""
_EXCERPT = 200
_MOST_NAMES = 1000  # maximum number of values of a text column that counts as labels
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """Documents with their scores and the columns to group them by."""

    table: pa.Table
    every: int
    """1: all documents; k: every k-th."""

    @classmethod
    def read(cls, artifact: Artifact) -> Scored:
        """Texts and annotations of the kept documents, without vectors."""
        files = artifact.files("documents")
        total = sum(pq.read_metadata(path).num_rows for path in files)
        every = max(1, -(-total // MOST))
        parts, before = [], 0
        for path in files:
            with pq.ParquetFile(path) as file:
                names = [f.name for f in file.schema_arrow if not pa.types.is_nested(f.type)]
                for batch in file.iter_batches(columns=names, use_threads=False):
                    rows = np.flatnonzero((before + np.arange(batch.num_rows)) % every == 0)
                    parts.append(pa.Table.from_batches([batch.take(rows)]))
                    before += batch.num_rows
        if not parts:
            raise DataError(str(artifact.root), "contains no documents")
        return cls(table=pa.concat_tables(parts, promote_options="permissive").combine_chunks(), every=every)

    @property
    def columns(self) -> list[str]:
        """The numeric annotations."""
        return [f.name for f in self.table.schema if f.name not in DOCUMENT.names and _is_number(f.type)]

    def values(self, column: str) -> Floats:
        """The values as floats, NaN if missing. Raises: ConfigError if there is no such column of numbers."""
        if column not in self.columns:
            what = f"no column of numbers {column}, found: {', '.join(self.columns) or 'none'}"
            raise ConfigError("column", what, "a step of the pipeline must add it")
        return numbers(self._batch(), column)

    def lengths(self) -> Floats:
        """Number of characters of each text."""
        text = strings(self._batch().column("text"))
        return pc.utf8_length(text).to_numpy(zero_copy_only=False).astype(np.float64)

    def groups(self) -> dict[str, list[str | None]]:
        """Source, domain and every annotation of text, such as a language or a topic."""
        batch = self._batch()
        found = {name: group_names(batch, name, "score").to_pylist() for name in (SOURCE, DOMAIN)}
        for field in batch.schema:
            if field.name not in DOCUMENT.names and pa.types.is_string(field.type) and field.name not in found:
                names = batch.column(field.name)
                if pc.count_distinct(names).as_py() <= _MOST_NAMES:
                    found[field.name] = names.to_pylist()
        return found

    def texts(self) -> list[str]:
        """The texts of all documents."""
        texts: list[str] = to_list(self._batch().column("text"))
        return texts

    def example(self, row: int, scores: Mapping[str, Floats]) -> dict[str, object]:
        """One document for people to read."""
        text = self._batch().column("text")[row].as_py()
        shown = {name: float(values[row]) for name, values in scores.items()}
        return {"url": self._batch().column("url")[row].as_py(), **shown, "text": text[:_EXCERPT]}

    def _batch(self) -> pa.RecordBatch:
        return self.table.to_batches()[0]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def score_alarms(artifact: Artifact) -> list[str]:
    """The alarms of all numeric columns, for `dclm report`."""
    if not artifact.count("kept"):
        return []
    scored = Scored.read(artifact)
    groups, lengths = scored.groups(), scored.lengths()
    return [alarm for column in scored.columns for alarm in _alarms(column, scored.values(column), lengths, groups)]


def _alarms(column: str, values: Floats, lengths: Floats, groups: Mapping[str, Sequence[str | None]]) -> list[str]:
    known = ~np.isnan(values)
    chosen = {what: _at(names, known) for what, names in groups.items()}
    return trust.alarms(column, values[known], lengths[known], chosen)


def _at(names: Sequence[str | None], rows: npt.NDArray[np.bool_]) -> list[str | None]:
    return [name for name, there in zip(names, rows.tolist(), strict=True) if there]


def judge_column(
    root: Path | str, column: str, labels: Sequence[str] = (), against: str | None = None, lower_is_better: bool = False
) -> dict[str, Any]:
    """The full judgment of one column of a documents artifact, as plain values for JSON.

    labels: files of `text` and `label`; a document has the label of the same text.
    against: another column to compare with, which is also negated if it falls as `column` rises.
    Raises: ConfigError if there is no such column; DataError if no document has a label, or all have the same one.
    """
    scored = Scored.read(Artifact(root))
    values = scored.values(column)
    known = ~np.isnan(values)
    lengths, groups = scored.lengths(), scored.groups()
    found: dict[str, Any] = {
        "column": column,
        "documents": len(values),
        "without_value": int((~known).sum()),
        "alarms": _alarms(column, values, lengths, groups),
        "length_rank_correlation": trust.spearman(values[known], lengths[known]),
        "by_length": trust.by_length(values[known], lengths[known]),
        "by": {what: trust.by_group(values[known], _at(names, known)) for what, names in groups.items()},
    }
    if scored.every > 1:
        found["sampled"] = f"every {scored.every}-th document"
    sign = -1.0 if lower_is_better else 1.0
    if labels:
        found["labels"] = trust.against_labels(*_labeled(scored, sign * values, labels))
    if against is not None:
        other = scored.values(against)
        both = known & ~np.isnan(other)
        rows = np.flatnonzero(both)
        one, two = sign * values[rows], other[rows]
        turned = (trust.spearman(one, two) or 0) < 0
        two = -two if turned else two
        above, below = trust.most_different(one, two)
        scores = {column: values, against: other}
        found["agreement"] = {
            "with": against,
            "turned": turned,
            **trust.agreement(one, two),
            f"higher_in_{column}": [scored.example(int(rows[row]), scores) for row in above],
            f"higher_in_{against}": [scored.example(int(rows[row]), scores) for row in below],
        }
    return found


def column_curve(
    root: Path | str, column: str, labels: Sequence[str], lower_is_better: bool = False
) -> ClassifierJudgment:
    """The curves of a column against labels; without calibration unless it has probabilities.

    Raises: like `judge_column`.
    """
    scored = Scored.read(Artifact(root))
    sign = -1.0 if lower_is_better else 1.0
    scores, positive = _labeled(scored, sign * scored.values(column), labels)
    summary = summarize(scores, positive)
    if not trust.are_probabilities(scores):
        summary = {name: summary[name] for name in ("documents", "positives", "roc_auc", "average_precision")}
    return ClassifierJudgment(summary, precision_recall(scores, positive))


def _labeled(scored: Scored, values: Floats, labels: Sequence[str]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The values of documents that have a label, and which of these are good."""
    by_text = {document.text: document.positive for file in labels for document in read_labelled(file)}
    truth = [by_text.get(text) for text in scored.texts()]
    rows = np.array([t is not None for t in truth]) & ~np.isnan(values)
    positive = np.array([bool(t) for t in truth])[rows]
    if not len(positive) or positive.all() or not positive.any():
        what = f"{len(positive)} documents of the artifact have a label and a value, allowed: some of both classes"
        raise DataError(", ".join(labels), what, "curate the labeled texts with steps that leave `text` unchanged")
    return values[rows], positive
