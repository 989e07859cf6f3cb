"""The language of a page by heliport (HeLI-OTS), which knows 220 languages."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import strings, to_list
from dclm.core.config import NonNegative
from dclm.core.errors import ConfigError
from dclm.curate.quantity import Cut
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.language.fasttext import with_language
from dclm.filters.language.invisible import without_invisible

_UNKNOWN = ("und", "zxx")  # undecided, and no language at all
_MAX_CHARACTERS = 20_000  # more changes no answer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heliport(Map):
    """Annotates the most likely of 220 languages and, with `keep`, drops pages in other languages: an alternative to
    `language`.

    Adds `language` (ISO 639-3, such as `deu`; null if heliport is not confident or the page has no text) and
    `language_score` (float32, 0 there): the lead over the second-best language, in units of log10 probability per word,
    0 … 7. A page is judged by its first 20,000 characters, with newlines as spaces and without invisible characters.

    Needs the package heliport (GPL-3.0), which includes its models: `pip install 'dclm[languages]'`.
    Source: HeLI-OTS (Jauhiainen et al. 2022), github.com/ZJaume/heliport.
    """

    name: ClassVar[str] = "heliport"

    keep: tuple[str, ...] = ()
    """Languages to keep (ISO 639-3); none: annotate only."""
    min_score: NonNegative = 0.0
    """Minimum score of a kept page."""

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("heliport",)

    @property
    def cut(self) -> Cut:
        return Cut("min_score", float(np.float32(self.min_score)), "min")

    def open(self, context: Context) -> MapFunction:
        identify = _open_identifier()
        allowed = pa.array(self.keep, pa.string())

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = pc.utf8_slice_codeunits(without_invisible(strings(batch["text"])), 0, _MAX_CHARACTERS)
            found = [identify(value) for value in to_list(pc.replace_substring_regex(text, r"[\n\r\x00]", " "))]
            codes = [None if code in _UNKNOWN else code for code, _ in found]
            language = pa.array(codes, pa.string())
            score = np.array(
                [0.0 if code is None else s for code, (_, s) in zip(codes, found, strict=True)], np.float32
            )
            kept = None
            if self.keep:
                kept = pc.and_(pc.is_in(language, value_set=allowed), pa.array(score >= np.float32(self.min_score)))
            return with_language(batch, language, score, kept, self.keep)

        return annotate


def _open_identifier() -> Callable[[str], tuple[str, float]]:
    """The function from a line to its language and score. Raises: ConfigError if heliport is not installed."""
    try:
        library: Any = importlib.import_module("heliport")
    except ModuleNotFoundError:
        hint = "pip install 'dclm[languages]', or use the step `language`"
        raise ConfigError("step heliport", "the package heliport is not installed", hint) from None
    identify: Callable[[str], tuple[str, float]] = library.Identifier().identify_with_score
    return identify
