"""The subject of an evaluation: a model with its tokenizer and its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dclm.assets import fetch, resolve
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import sha256_file
from dclm.eval.run.forward import Scorer
from dclm.eval.run.generate import Generator
from dclm.eval.tokenizer import Tokenizer
from dclm.model.formats.gguf import GGUF, cached_huggingface
from dclm.model.formats.names import find_model
from dclm.model.interface import LanguageModel
from dclm.model.load import HUGGING_FACE, OPEN_LM, describe_model, find_checkpoint, load_model
from dclm.model.shards import SHARDS
from dclm.model.weights import CONFIG, MODEL, TOKENIZER, TOKENIZER_CONFIG

REFERENCE_WINDOW = 2048
"""DCLM scores every model with this window."""
DTYPES = ("float32", "bfloat16", "float16")
LM_EVAL = "lm-eval:"
"""Prefix of lm-eval's own models (`lm-eval:hf,pretrained=DIR`) and tasks (`lm-eval:NAME`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalModel:
    """A model ready to be scored."""

    model: LanguageModel
    tokenizer: Tokenizer

    @property
    def window(self) -> int:
        """Number of tokens of context and answer that are scored: the model's, but at most the reference's 2,048."""
        return min(self.model.seq_len, REFERENCE_WINDOW)

    def scorer(self, batch_tokens: int) -> Scorer:
        return Scorer(self.model, batch_tokens)

    def generator(self, batch_tokens: int) -> Generator:
        return Generator(self.model, self.tokenizer, batch_tokens)


class Outline(NamedTuple):
    """The properties of a model that affect its prompts."""

    tokenizer: Tokenizer
    window: int


def outline(model: str, window: int | None = None) -> Outline:
    """Tokenizer and window of a model, without its weights if they can be known without.

    window: the requested one; None: the model's.

    Raises: DataError like `load_eval_model`.
    """
    found = describe_model(model, window)
    longest = min(found.seq_len, window or REFERENCE_WINDOW, REFERENCE_WINDOW)
    return Outline(_tokenizer(model, found.tokenizer_path, found.ours), longest)


def resolve_model(model: str) -> str:
    """The model as named by `find_model`, with `gguf:NAME_OR_PATH` converted once to `hf:DIRECTORY` in the cache."""
    model = find_model(model)
    if not model.startswith(GGUF):
        return model
    return HUGGING_FACE + str(cached_huggingface(resolve(model[len(GGUF) :]).path))


def load_eval_model(model: str, device: str, dtype: str, window: int | None = None) -> EvalModel:
    """The model named `model` (a checkpoint, a training run, or `hf:DIRECTORY`) on `device`.

    window: the maximum text length of a `transformers` model, in tokens; None: as in its configuration. A checkpoint
    without a tokenizer is assumed to be trained with GPT-NeoX-20B's, as all of DCLM's are. Raises: ConfigError for an
    unknown dtype, or one of lm-eval's models, whose logits are not accessible; DataError if model or tokenizer cannot
    be loaded.
    """
    if dtype not in DTYPES:
        raise ConfigError("dtype", f"found {dtype!r}, allowed: {', '.join(DTYPES)}")
    if model.startswith(LM_EVAL):
        raise ConfigError(
            model, "this needs the model itself, but lm-eval provides only its scores", "pass hf:DIRECTORY"
        )
    loaded = load_model(model, device, getattr(torch, dtype), window)
    return EvalModel(model=loaded.model, tokenizer=_tokenizer(model, loaded.tokenizer_path, loaded.config is not None))


def _tokenizer(model: str, path: Path | None, ours: bool) -> Tokenizer:
    if path is None and not ours:
        raise DataError(
            model, "no tokenizer.json in the directory", "save the tokenizer in its fast form next to the model"
        )
    return Tokenizer(path or fetch("gpt-neox-20b"))


def model_fingerprint(model: str) -> str:
    """sha256 over the names and contents of the files that define the model.

    For one of lm-eval's models, a hash of its kind and arguments, with directories replaced by their content: what a
    name refers to elsewhere (on a hub, behind an address) may change unnoticed.
    """
    if model.startswith(LM_EVAL):
        return hashlib.sha256(",".join(map(_content, model.split(","))).encode()).hexdigest()
    return _digest(_files(model))


def model_bytes(model: str) -> int:
    """Size of the model's files; 1 for one of lm-eval's, whose files are unknown."""
    return 1 if model.startswith(LM_EVAL) else sum(path.stat().st_size for path in _files(model))


def _files(model: str) -> list[Path]:
    if model.startswith(HUGGING_FACE):
        files = _huggingface_files(Path(model[len(HUGGING_FACE) :]))
    elif model.endswith(OPEN_LM):
        files = [Path(model)]
    else:
        directory = find_checkpoint(model)
        names = (MODEL, CONFIG, TOKENIZER, TOKENIZER_CONFIG)
        files = [directory / name for name in names if (directory / name).exists()]
        files += [] if (directory / MODEL).exists() else sorted((directory / SHARDS).glob("*"))
    if not files:
        raise DataError(model, "no model files in the directory", "check the path")
    return files


def _huggingface_files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.glob("*") if p.suffix in (".safetensors", ".bin", ".json"))


def _content(argument: str) -> str:
    key, _, value = argument.partition("=")
    return f"{key}={_digest(_huggingface_files(Path(value)))}" if value and Path(value).is_dir() else argument


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()
