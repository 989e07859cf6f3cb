"""The step that scores documents with a KenLM n-gram model, like CCNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from dclm.core.arrow import Column, column_of, to_list
from dclm.core.config import NonNegative
from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.ngram.normalize import ccnet_normalize

SIGNIFICANT_DIGITS = 6
PARTS = ("head", "middle", "tail")
_BINARY = b"mmap lm http://kheafield.com/code"
_ARPA = b"\\data\\"
_LOOKED_AT = 4096
Sentence = tuple[str, int]
"""Tokens separated by whitespace, and their number."""
Tokenize = Callable[[str], Sentence]


@dataclasses.dataclass(frozen=True, kw_only=True)
class KenlmScore(Map):
    """Adds the perplexity per token of a KenLM n-gram model, as a float64 column; null for a document without words.

    The text is normalized as in CCNet, cut into pieces by SentencePiece (or at whitespace) and scored as one sentence:
    perplexity = 10^(−log10 p / (tokens + 1)), where 1 counts the end of the sentence. The normalization removes line
    feeds, like all control characters; with `per_line`, each line is normalized and scored as a sentence instead.
    Scores have six significant digits. `part_column` holds CCNet's three parts, divided at the literal values `cuts`;
    to cut at percentiles of the pool, use `quantile` with `keep_between` (head: [0, 0.3], middle: [0.3, 0.6], tail:
    [0.6, 1]).

    Needs the extra `kenlm`. Source: CCNet (`perplexity.DocLM` behind `MultiSentencePiece`); edugp/kenlm.
    """

    name: ClassVar[str] = "kenlm_score"

    model: str
    """Asset or path of a KenLM binary or an ARPA file, or an n-gram model that the recipe trains."""
    tokenizer: str | None = None
    """Asset or path of a SentencePiece model; null: tokens are the words between whitespace."""
    normalize: bool = True
    """Whether to normalize like CCNet."""
    per_line: bool = False
    """Score each line as a separate sentence."""
    column: str = "kenlm_perplexity"
    """Column to add."""
    part_column: str | None = None
    """Column for `head` (below the first cut), `middle` (below the second) or `tail`; null: none."""
    cuts: tuple[NonNegative, ...] = ()
    """The two perplexities that separate head, middle and tail. CCNet uses the 30th and the 60th percentile."""

    def __post_init__(self) -> None:
        if (self.part_column is None) != (not self.cuts):
            raise ValueError("`part_column` and `cuts` need each other")
        if self.cuts and (len(self.cuts) != 2 or self.cuts[0] > self.cuts[1]):
            raise ValueError("give two `cuts`, the lower one first")

    @property
    def assets(self) -> tuple[str, ...]:
        """The model and the tokenizer."""
        return (self.model, *([] if self.tokenizer is None else [self.tokenizer]))

    @property
    def libraries(self) -> tuple[str, ...]:
        """See `Step`."""
        return ("ufal-kenlm", *([] if self.tokenizer is None else ["sentencepiece"]))

    @property
    def memory(self) -> str:
        """See `Step`."""
        return f"the workers of a machine share the pages of {self.model} if it is binary; each holds an ARPA file"

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: AssetError if the model or the tokenizer cannot be read."""
        model = load_kenlm(context.file(self.model))
        tokenize = whitespace_tokens if self.tokenizer is None else sentencepiece_tokens(context.file(self.tokenizer))
        prepare = ccnet_normalize if self.normalize else str

        def sentences(text: str) -> list[Sentence]:
            return [tokenize(prepare(part)) for part in (text.split("\n") if self.per_line else [text])]

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = [perplexity(model, sentences(text)) for text in to_list(batch.column("text"))]
            columns: dict[str, Column] = {self.column: pa.array(found, pa.float64())}
            if self.part_column is not None:
                values = np.array([np.nan if value is None else value for value in found])
                place = column_of(np.searchsorted(self.cuts, values, side="right"), np.isnan(values))
                columns[self.part_column] = pa.array(PARTS).take(place)
            return with_columns(batch, columns)

        return annotate


def perplexity(model: Any, sentences: Iterable[Sentence]) -> float | None:
    """CCNet's formula over sentences; None if none of them has a token."""
    log10, count = 0.0, 0
    has_tokens = False
    for sentence, tokens in sentences:
        has_tokens = has_tokens or tokens > 0
        log10 += model.score(sentence)
        count += tokens + 1
    if not has_tokens:
        return None
    exponent = -log10 / count
    return float(f"{10.0**exponent:.{SIGNIFICANT_DIGITS}g}") if exponent < 300 else None


def whitespace_tokens(text: str) -> Sentence:
    """The words of a text: KenLM cuts ASCII at the same places as `str.split`, other text only after that."""
    count = _count_words(np.frombuffer(text.encode("ascii"), np.uint8)) if text.isascii() else -1
    if count >= 0:
        return text, count
    words = text.split()
    return " ".join(words), len(words)


@njit(cache=True, nogil=True)
def _count_words(text: npt.NDArray[np.uint8]) -> int:
    """Number of words in ASCII; −1 if it contains separators (28 to 31), at which KenLM does not cut."""
    count = 0
    inside = False
    for byte in text:
        if 28 <= byte <= 31:
            return -1
        blank = byte == 32 or 9 <= byte <= 13
        count += not (blank or inside)
        inside = not blank
    return count


def sentencepiece_tokens(path: Path) -> Tokenize:
    """The function from a text to its SentencePiece pieces. Raises: AssetError if the file is not
    a SentencePiece model; ConfigError if the extra is not installed.
    """
    try:
        import sentencepiece
    except ImportError:
        raise _not_installed("sentencepiece") from None
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise AssetError(str(path), f"not a SentencePiece model: {error}", "give a .model file") from None

    def tokenize(text: str) -> Sentence:
        sentence = " ".join(processor.encode(text, out_type=str))
        return sentence, len(sentence.split())

    return tokenize


def load_kenlm(path: Path) -> Any:
    """KenLM's model of a binary or ARPA file.

    Raises: AssetError if it is neither, or is damaged; ConfigError if the extra is not installed.
    """
    try:
        import kenlm
    except ImportError:
        raise _not_installed("ufal-kenlm") from None
    if path.is_dir():
        raise AssetError(str(path), "found a directory, allowed: a KenLM binary or an ARPA file", "name the file in it")
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    if not head.startswith(_BINARY) and _ARPA not in head:
        raise AssetError(str(path), "neither a KenLM binary nor an ARPA file", "give a .bin or .arpa of KenLM")
    settings = kenlm.Config()
    settings.show_progress = False
    settings.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(str(path), settings)
    except (OSError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise AssetError(
            str(path), f"KenLM cannot read it: {first}", "copy the file again or retrain the model"
        ) from None


def _not_installed(package: str) -> ConfigError:
    return ConfigError("kenlm_score", f"the package {package} is not installed", 'pip install "dclm[kenlm]"')
