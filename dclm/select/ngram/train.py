"""Trains a small n-gram model on text files: an ARPA file that KenLM reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from dclm.assets import resolve
from dclm.core.config import Range
from dclm.core.record import Record, canonical
from dclm.select.artifact import draw_texts, make_artifact
from dclm.select.classifier.spec import TextSource
from dclm.select.ngram.kneser_ney import estimate, write_arpa
from dclm.select.ngram.normalize import ccnet_normalize
from dclm.select.ngram.score import sentencepiece_tokens, whitespace_tokens

MODEL = "model.arpa"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NgramSpec:
    """An n-gram model with interpolated modified Kneser-Ney smoothing and no pruning.

    For some millions of tokens: everything is held in memory, about 100 bytes per token and order.
    """

    version = 1

    texts: tuple[TextSource, ...]
    """The clean text that it learns from."""
    order: Annotated[int, Range(2, 6)] = 5
    """Length of the longest n-gram in tokens. CCNet's models have 5."""
    tokenizer: str | None = None
    """Path of a SentencePiece model; null: tokens are the words between whitespace."""
    normalize: bool = True
    """Whether to normalize like CCNet."""
    per_line: bool = False
    """Treat each line as a separate sentence, as for `kenlm_score`."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed for drawing documents."""

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError("give at least one source of `texts`")

    def with_paths(self, path_of: Callable[[str], str]) -> NgramSpec:
        """The same with every path replaced, for example by its location on this machine."""
        texts = tuple(dataclasses.replace(source, path=path_of(source.path)) for source in self.texts)
        tokenizer = None if self.tokenizer is None else path_of(self.tokenizer)
        return dataclasses.replace(self, texts=texts, tokenizer=tokenizer)


def train_ngram(spec: NgramSpec, out: Path | str, *, force: bool = False) -> Record:
    """Make the artifact at `out`: model.arpa and record.json. The same sources and settings give the same bytes.

    Raises: DataError if the texts contain no word; the errors of reading the sources.
    """
    config = canonical(dataclasses.replace(spec, tokenizer=None).with_paths(lambda path: ""))
    assert isinstance(config, dict)
    inputs = {} if spec.tokenizer is None else {"tokenizer": resolve(spec.tokenizer).sha256}

    def fit(directory: Path) -> dict[str, object]:
        model = estimate(_sentences(spec), spec.order)
        write_arpa(model, directory / MODEL)
        orders = [len(order.word) for order in model.orders]
        return {"words": len(model.words), "ngrams": orders, "discounts": [list(o.discounts) for o in model.orders]}

    return make_artifact(out, "model", config, {"texts": spec.texts}, fit, inputs, force=force)


def _sentences(spec: NgramSpec) -> Iterator[list[str]]:
    tokenize = whitespace_tokens if spec.tokenizer is None else sentencepiece_tokens(Path(spec.tokenizer))
    for number, source in enumerate(spec.texts):
        for drawn in draw_texts(source, f"texts[{number}]", spec.seed):
            for part in drawn.text.split("\n") if spec.per_line else [drawn.text]:
                sentence, count = tokenize(ccnet_normalize(part) if spec.normalize else part)
                if count:
                    yield sentence.split()
