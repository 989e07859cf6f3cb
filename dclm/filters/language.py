"""The language of a page, by fastText's lid.176 or by langdetect."""

from __future__ import annotations

import dataclasses
import string
from typing import ClassVar, Literal

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.config import Fraction
from dclm.errors import AssetError
from dclm.filters.columns import with_columns
from dclm.step import Context, Map, MapFunction

_LABEL = "__label__"
_NOTHING_TO_READ = f"^[{''.join(f'{chr(92)}{c}' for c in string.punctuation)} ]*$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language(Map):
    """Annotates the language of the whole page (top-1 of fastText) and, with `keep`, drops the others.

    Adds `language` (null for a page of ASCII punctuation and spaces only) and `language_score` (float32, 0 there).
    fastText reads the page as one line.

    Source: `detect_lang_whole_page_enricher` and `language_filter` of DCLM's baselines in one step.
    """

    name: ClassVar[str] = "language"

    keep: tuple[str, ...] = ()
    """Languages (ISO codes of the model) that are kept; none: annotate only."""
    min_score: Fraction = 0.0
    """A kept page's probability is strictly above this."""
    join_lines_with: Literal["", " "] = ""
    """What newlines become. The reference deletes them, which glues the words on both sides together."""
    model: str = "lid.176.ftz"
    """A fastText language identification model: asset name or path."""

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.model,)

    def open(self, context: Context) -> MapFunction:
        path = context.file(self.model)
        try:
            model = fasttext.load_model(str(path))
        except ValueError as error:
            raise AssetError(str(path), f"not a fastText model: {error}") from None

        def identify(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch["text"]
            empty = pc.match_substring_regex(text, _NOTHING_TO_READ).to_numpy(zero_copy_only=False)
            lines = pc.replace_substring(text, "\n", self.join_lines_with).to_pylist()
            labels, scores = model.predict(lines) if lines else ([], [])
            language = [None if e else label[0].removeprefix(_LABEL) for e, label in zip(empty, labels, strict=True)]
            score = np.array([0.0 if e else s[0] for e, s in zip(empty, scores, strict=True)], np.float32)
            return self._annotate(batch, language, score)

        return identify

    def _annotate(self, batch: pa.RecordBatch, language: list[str | None], score: np.ndarray) -> pa.RecordBatch:
        columns = {"language": pa.array(language, pa.string()), "language_score": pa.array(score, pa.float32())}
        if self.keep:
            known = pc.is_in(columns["language"], value_set=pa.array(self.keep, pa.string()))
            sure = pa.array(score.astype(np.float64) > self.min_score)
            columns["_drop"] = pc.invert(pc.and_(known, sure))
        return with_columns(batch, columns)
