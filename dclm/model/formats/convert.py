"""Converts a model of ours to Hugging Face's or open_lm's format, and back; averages models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import atomic_directory
from dclm.model.formats.hf import export_huggingface, import_huggingface
from dclm.model.formats.names import find_model
from dclm.model.formats.openlm import read_openlm, write_openlm
from dclm.model.load import HUGGING_FACE, OPEN_LM, LoadedModel, load_model
from dclm.model.transformer import Transformer
from dclm.model.weights import TOKENIZER, write_model

Format = Literal["hf", "openlm"]


def export_model(source: str, to: Format, out: Path) -> None:
    """Write the model `source` (a checkpoint, a training run, open_lm's file) to the directory or .pt file `out`.

    Raises: ConfigError if `out` exists or `source` is in Hugging Face's format; DataError if it cannot be loaded.
    """
    source = find_model(source)
    if source.startswith(HUGGING_FACE):
        raise ConfigError(source, "allowed: a checkpoint, a training run or open_lm's .pt file")
    _require_new(out)
    loaded = load_model(source)
    assert isinstance(loaded.model, Transformer)
    if to == "openlm":
        write_openlm(loaded.model, out)
    else:
        export_huggingface(loaded.model, out, loaded.tokenizer_path)


def import_model(source: Path, out: Path, *, seq_len: int = 2048, tokenizer: Path | None = None) -> None:
    """Write the model in `source`, an exported directory or open_lm's .pt file, to the checkpoint directory `out`.

    `seq_len` is for open_lm's files, which do not state it. The default for `tokenizer` is the directory's own, if it
    has one; a model without a tokenizer is evaluated with GPT-NeoX-20B's. Raises: ConfigError if `out` exists;
    DataError if there is no such model, or no such tokenizer.
    """
    _require_new(out)
    if tokenizer is not None and not tokenizer.is_file():
        raise DataError(str(tokenizer), "no such file", "pass a tokenizer.json")
    model = read_openlm(source, seq_len=seq_len) if source.suffix == OPEN_LM else import_huggingface(source)
    beside = source / TOKENIZER
    with atomic_directory(out) as directory:
        write_model(directory, model.state_dict(), model.config, tokenizer or (beside if beside.is_file() else None))


def average_models(sources: Sequence[str], out: Path, weights: Sequence[float] = ()) -> None:
    """Write the weighted mean of models of one shape (a "soup") to the checkpoint directory `out`.

    Sums are in float64, so the order of the models makes no difference beyond the last bit. Raises: ConfigError if
    `out` exists, weights do not fit, or shapes or tokenizers differ; DataError if a model cannot be loaded.
    """
    _require_new(out)
    if weights and (len(weights) != len(sources) or min(weights) <= 0 or not all(map(math.isfinite, weights))):
        raise ConfigError("weights", f"found {list(weights)}, allowed: one positive number per model, {len(sources)}")
    shares = [weight / sum(weights) for weight in weights] if weights else [1 / len(sources)] * len(sources)
    mean: dict[str, Tensor] = {}
    first: LoadedModel | None = None
    for source, share in zip(sources, shares, strict=True):
        loaded = load_model(find_model(source))
        first = first or loaded
        if not isinstance(loaded.model, Transformer) or first.config != loaded.config:
            found = "a different kind of model" if loaded.config is None else str(loaded.config)
            raise ConfigError(source, f"found {found}, allowed: {first.config}, as {sources[0]}")
        if _content(loaded.tokenizer_path) != _content(first.tokenizer_path):
            raise ConfigError(source, f"found a tokenizer that differs from that of {sources[0]}")
        for name, tensor in loaded.model.state_dict().items():
            part = tensor.double() * share
            mean[name] = part if name not in mean else mean[name] + part
    assert first is not None
    assert first.config is not None
    with atomic_directory(out) as directory:
        write_model(
            directory, {name: total.float() for name, total in mean.items()}, first.config, first.tokenizer_path
        )


def _content(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _require_new(out: Path) -> None:
    if out.exists():
        raise ConfigError(str(out), "already exists", "choose another --out, or remove it")
