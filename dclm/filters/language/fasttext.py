"""Language identification of a page with fastText's lid.176."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.core.arrow import Column, column_of, strings
from dclm.core.config import Fraction
from dclm.core.errors import AssetError
from dclm.curate.quantity import Cut
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_columns
from dclm.filters.language.invisible import without_invisible
from dclm.filters.language.kernel import Memo, predict
from dclm.filters.language.model import load_lid_model
from dclm.text.buffers import utf8

Scores = NDArray[np.float32]
Identify = Callable[[pa.StringArray], tuple[pa.StringArray, Scores]]
_NOTHING_TO_READ = f"^[{''.join(f'{chr(92)}{c}' for c in string.punctuation)} ]*$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language(Map):
    """Annotates the language of the whole page (top-1 of fastText) and, with `keep`, drops the others.

    Adds `language` (null for a page of ASCII punctuation and spaces only) and `language_score` (float32, 0 there).
    fastText reads the page as one line.

    Source: `detect_lang_whole_page_enricher` and `language_filter` of DCLM's baselines in one step; they are
    `invisible: keep`.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 2

    keep: tuple[str, ...] = ()
    """Languages to keep (ISO codes of the model); none: annotate only."""
    min_score: Fraction = 0.0
    """A page is kept if its probability is strictly above this."""
    join_lines_with: Literal["", " "] = ""
    """Replacement for newlines. The reference deletes them, which glues the words on both sides together."""
    invisible: Literal["ignore", "keep"] = "ignore"
    """ignore: remove zero-width spaces, soft hyphens and the like before the model sees the text, because a few of them
    can turn an English page into Khmer (also joiners between letters of scripts that do not need them). keep: leave
    them in, as in DCLM."""
    model: str = "lid.176.ftz"
    """A fastText language identification model: asset name or path."""

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.model,)

    @property
    def cut(self) -> Cut:
        return Cut("min_score", self.min_score, "above")

    def open(self, context: Context) -> MapFunction:
        identify = _open_model(context.file(self.model))

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = strings(batch["text"])
            if self.invisible == "ignore":
                text = without_invisible(text)
            empty = pc.match_substring_regex(text, _NOTHING_TO_READ)
            labels, scores = identify(pc.replace_substring(text, "\n", self.join_lines_with))
            labels = pc.if_else(empty, pa.scalar(None, pa.string()), labels)
            scores = np.where(empty.to_numpy(zero_copy_only=False), 0, scores)
            kept = self._kept(labels, scores) if self.keep else None
            return with_language(batch, labels, scores, kept, self.keep)

        return annotate

    def _kept(self, language: pa.StringArray, score: Scores) -> pa.BooleanArray:
        known = pc.is_in(language, value_set=pa.array(self.keep, pa.string()))
        return pc.and_(known, pa.array(score.astype(np.float64) > self.min_score))


def with_language(
    batch: pa.RecordBatch,
    language: pa.StringArray,
    score: Scores,
    kept: pa.BooleanArray | None,
    keep: tuple[str, ...],
    compared: NDArray[np.float64] | None = None,
) -> pa.RecordBatch:
    """The batch with `language` and `language_score`, and the decision if there is one.

    compared: what decided on pages in a language to keep, NaN for others; None: the score.
    """
    columns: dict[str, Column] = {"language": language, "language_score": pa.array(score, pa.float32())}
    if kept is not None:
        wanted = pc.is_in(language, value_set=pa.array(keep, pa.string()))
        if compared is None:
            compared = np.where(wanted.to_numpy(zero_copy_only=False), score.astype(np.float64), np.nan)
        columns |= {"_drop": pc.invert(kept), "_rule": pc.if_else(wanted, "min_score", "keep")}
        columns["_measured"] = pa.array(compared)
    return with_columns(batch, columns)


def _open_model(path: Path) -> Identify:
    """The most likely labels of lines and their probabilities; computed by fastText itself if our kernel cannot."""
    model = load_lid_model(path)
    if model is None:
        return _open_library(path)
    names, memo = pa.array(model.labels, pa.string()), Memo.empty()

    def identify(lines: pa.StringArray) -> tuple[pa.StringArray, Scores]:
        labels, scores = predict(*utf8(lines), model.arrays, memo)
        return names.take(column_of(labels, labels < 0)), scores

    return identify


def _open_library(path: Path) -> Identify:
    model = fasttext.load_model(str(path))

    def identify(lines: pa.StringArray) -> tuple[pa.StringArray, Scores]:
        try:
            labels, scores = model.predict(lines.to_pylist()) if len(lines) else ([], [])
        except RuntimeError as error:
            raise AssetError(str(path), f"cannot score a text: {error}", "download or train it again") from None
        names = [label[0].removeprefix("__label__") if label else None for label in labels]
        return pa.array(names, pa.string()), np.array([s[0] if len(s) else 0.0 for s in scores], np.float32)

    return identify
