"""What is evaluated: a model with its tokenizer and its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import torch

from dclm.assets import fetch, resolve
from dclm.assets.cache import cache_root
from dclm.errors import ConfigError, DataError
from dclm.eval.tokenizer import Tokenizer
from dclm.model.interface import LanguageModel
from dclm.model.load import HUGGING_FACE, OPEN_LM, find_checkpoint, load_model
from dclm.model.weights import CONFIG, MODEL, TOKENIZER
from dclm.storage import sha256_file

REFERENCE_WINDOW = 2048
"""DCLM scores every model with this window."""
DTYPES = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """A model ready to be scored."""

    model: LanguageModel
    tokenizer: Tokenizer

    @property
    def window(self) -> int:
        """Tokens of context and answer that are scored: the model's, but no more than the reference's 2,048."""
        return min(self.model.seq_len, REFERENCE_WINDOW)


GGUF = "gguf:"


def resolve_model(model: str) -> str:
    """`gguf:NAME_OR_PATH` converted once to `hf:DIRECTORY` in the cache; any other model as it is named."""
    if not model.startswith(GGUF):
        return model
    from dclm.eval.gguf import huggingface_from_gguf

    file = resolve(model[len(GGUF) :])
    return HUGGING_FACE + str(huggingface_from_gguf(file.path, cache_root() / "models" / file.sha256[:16]))


def load_subject(model: str, device: str, dtype: str) -> Subject:
    """The model named `model` (a checkpoint, a training run, or `hf:DIRECTORY`) on `device`.

    A checkpoint without a tokenizer is taken to be trained with GPT-NeoX-20B's, as all of DCLM's are.
    Raises: ConfigError for a dtype that is none; DataError where model or tokenizer cannot be loaded.
    """
    if dtype not in DTYPES:
        raise ConfigError("dtype", f"found {dtype!r}, allowed: {', '.join(DTYPES)}")
    loaded = load_model(model, device, getattr(torch, dtype))
    if loaded.tokenizer_path is None and loaded.config is None:
        raise DataError(model, "no tokenizer.json in the directory", "save the tokenizer in its fast form beside it")
    return Subject(model=loaded.model, tokenizer=Tokenizer(loaded.tokenizer_path or fetch("gpt-neox-20b")))


def model_fingerprint(model: str) -> str:
    """sha256 over the names and contents of the files that make the model what it is."""
    if model.startswith(HUGGING_FACE):
        directory = Path(model[len(HUGGING_FACE) :])
        files = sorted(p for p in directory.glob("*") if p.suffix in (".safetensors", ".bin", ".json"))
    elif model.endswith(OPEN_LM):
        files = [Path(model)]
    else:
        directory = find_checkpoint(Path(model))
        files = [p for p in (directory / MODEL, directory / CONFIG, directory / TOKENIZER) if p.exists()]
    if not files:
        raise DataError(model, "no model files in the directory", "check the path")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()
