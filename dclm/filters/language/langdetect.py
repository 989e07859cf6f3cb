"""Language identification of a page with langdetect, as used for C4."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
from langdetect.lang_detect_exception import LangDetectException

from dclm.core.arrow import to_list
from dclm.core.config import Count, Fraction
from dclm.curate.quantity import Cut
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.language.fasttext import with_language


class Guess(NamedTuple):
    """One possible language of a page."""

    language: str
    probability: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Langdetect(Map):
    """Annotates the most likely language of the whole page and, with `keep`, drops pages in other languages.

    Adds `language` (null for a page without letters of any known language) and `language_score` (float32, 0 there).
    Only the first 10,000 characters of a page are used, with whitespace and addresses shortened: about 30 ms per page.

    Source: `detect_lang_whole_page_enricher` with `model: langdetect` and `language_filter` of DCLM's baselines (C4:
    `keep: [en], min_score: 0.99`) in one step. Every page starts from the seed, as in DCLM when a seed is given.
    Differences: languages are summed in the order of their codes, not in that of a folder, which affects the last
    digits; a page without letters is dropped like any other, not as an error.
    """

    name: ClassVar[str] = "langdetect"

    keep: tuple[str, ...] = ()
    """Languages to keep (codes of langdetect: `en`, `zh-cn`); none: annotate only."""
    min_score: Fraction = 0.0
    """A page is kept if the probability of one of these is strictly above this."""
    seed: Count = 0
    """Seed for langdetect's random choice of letters."""

    @property
    def cut(self) -> Cut:
        return Cut("min_score", self.min_score, "above")

    def open(self, context: Context) -> MapFunction:
        guess = open_langdetect(self.seed)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            guesses = [guess(text) for text in to_list(batch["text"])]
            language = pa.array([g[0].language if g else None for g in guesses], pa.string())
            score = np.array([g[0].probability if g else 0.0 for g in guesses], np.float32)
            kept = [any(one.language in self.keep and one.probability > self.min_score for one in g) for g in guesses]
            decision = pa.array(kept, pa.bool_()) if self.keep else None
            wanted = [[one.probability for one in g if one.language in self.keep] for g in guesses]
            compared = np.array([max(each, default=np.nan) for each in wanted], np.float64)
            return with_language(batch, language, score, decision, self.keep, compared)

        return annotate


def open_langdetect(seed: int) -> Callable[[str], list[Guess]]:
    """The function from a text to the languages with a probability above 0.1, most likely first."""
    factory = DetectorFactory()
    profiles = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if not path.name.startswith("."))
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    factory.set_seed(seed)

    def guess(text: str) -> list[Guess]:
        detector = factory.create()
        detector.append(text)
        try:
            found = detector.get_probabilities()
        except LangDetectException:  # its label for a text without letters
            return []
        return [Guess(one.lang, one.prob) for one in found]

    return guess
