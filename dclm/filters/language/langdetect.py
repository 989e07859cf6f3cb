"""The language of a page by langdetect, as C4 asks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
from langdetect.lang_detect_exception import LangDetectException

from dclm.core.config import Count, Fraction
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.language.fasttext import with_language


class Guess(NamedTuple):
    """One language that a page may be in."""

    language: str
    probability: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Langdetect(Map):
    """Annotates the likeliest language of the whole page and, with `keep`, drops the pages that are in no other.

    Adds `language` (null for a page without a letter of any language known) and `language_score` (float32, 0 there).
    A page is judged by its first 10,000 characters, white space and addresses shortened: about 30 ms a page.

    Source: `detect_lang_whole_page_enricher` with `model: langdetect` and `language_filter` of DCLM's baselines (C4:
    `keep: [en], min_score: 0.99`) in one step. Every page starts from the seed, as there where a seed is given.
    Different here: languages are summed in the order of their codes, not in that of a folder, on which last digits
    depend; a page without letters is dropped as any other, not as an error.
    """

    name: ClassVar[str] = "langdetect"

    keep: tuple[str, ...] = ()
    """Languages (codes of langdetect: `en`, `zh-cn`) that are kept; none: annotate only."""
    min_score: Fraction = 0.0
    """The probability of one of these is strictly above this."""
    seed: Count = 0
    """Of the chance with which langdetect picks the letters it looks at."""

    def open(self, context: Context) -> MapFunction:
        guess = open_langdetect(self.seed)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            guesses = [guess(text) for text in batch["text"].to_pylist()]
            language = pa.array([g[0].language if g else None for g in guesses], pa.string())
            score = np.array([g[0].probability if g else 0.0 for g in guesses], np.float32)
            kept = [any(one.language in self.keep and one.probability > self.min_score for one in g) for g in guesses]
            decision = pa.array(kept, pa.bool_()) if self.keep else None
            return with_language(batch, language, score, decision, self.keep)

        return annotate


def open_langdetect(seed: int) -> Callable[[str], list[Guess]]:
    """The function from a text to the languages of a probability above 0.1, the likeliest first."""
    factory = DetectorFactory()
    profiles = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if not path.name.startswith("."))
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    factory.set_seed(seed)

    def guess(text: str) -> list[Guess]:
        detector = factory.create()
        detector.append(text)
        try:
            found = detector.get_probabilities()
        except LangDetectException:  # its word for a text without letters
            return []
        return [Guess(one.lang, one.prob) for one in found]

    return guess
