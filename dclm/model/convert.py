"""Converts a model of ours to Hugging Face's or open_lm's format, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import atomic_directory
from dclm.model.hf import export_huggingface, import_huggingface
from dclm.model.load import HUGGING_FACE, OPEN_LM, load_model
from dclm.model.names import find_model
from dclm.model.openlm import read_openlm, write_openlm
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


def _require_new(out: Path) -> None:
    if out.exists():
        raise ConfigError(str(out), "already exists", "choose another --out, or remove it")
