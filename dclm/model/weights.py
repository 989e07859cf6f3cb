"""A model on disk: `model.safetensors` or `shards/`, `config.json` next to it, and the tokenizer it was trained
with."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dclm.core.config import Source, build
from dclm.core.errors import DataError
from dclm.model.config import ModelConfig
from dclm.model.shards import SHARDS, read_shards
from dclm.model.transformer import Transformer

MODEL = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""File next to the tokenizer; names the token that ends a text."""
FORMAT = "dclm-openlm"
_FORGED = 1000
"""A config that states more than this many times the stored parameters does not belong to this model."""


def write_model(directory: Path, state: Mapping[str, Tensor], config: ModelConfig, tokenizer: Path | None) -> None:
    """Write the weights (open_lm's names, and `rotary.inv_freq` once), the shape, and a copy of the tokenizer."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    save_file(tensors, directory / MODEL, metadata={"format": "pt"})
    write_config(directory, config, tokenizer)


def write_config(directory: Path, config: ModelConfig, tokenizer: Path | None) -> None:
    """Write the shape, and a copy of the tokenizer."""
    text = json.dumps({"format": FORMAT, "model": dataclasses.asdict(config)}, indent=1, sort_keys=True)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")
    if tokenizer is not None:
        copy_tokenizer(tokenizer, directory)


def copy_tokenizer(tokenizer: Path, directory: Path) -> None:
    """Copy a tokenizer.json, and the tokenizer_config.json next to it if there is one."""
    shutil.copyfile(tokenizer, directory / TOKENIZER)
    settings = tokenizer.with_name(TOKENIZER_CONFIG)
    if settings.exists():
        shutil.copyfile(settings, directory / TOKENIZER_CONFIG)


def read_config(directory: Path) -> ModelConfig:
    """The shape of the model in `directory`.

    Raises: DataError if it has no config.json written by dclm.
    """
    path = directory / CONFIG
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            str(directory), f"no {CONFIG}: this is not a checkpoint", "pass a directory that `dclm train` wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(str(path), f"not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(str(path), f"found a model of another format, allowed: {FORMAT}", f"try hf:{directory}")
    return build(ModelConfig, Source(str(path), data, {}), data.get("model"), ("model",))


def read_weights(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises: DataError if it is missing, truncated or otherwise corrupt.
    """
    try:
        return load_file(path, device=str(device))
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "the checkpoint is not complete") from None
    except SafetensorError as error:
        raise DataError(str(path), f"corrupt: {error}", "use an earlier checkpoint") from None


def read_model(directory: Path) -> Transformer:
    """The model in `directory`, float32 as trained, on the CPU.

    Raises: DataError if files are missing or corrupt, or the weights do not fit the shape.
    """
    config = read_config(directory)
    if not (directory / MODEL).exists() and (directory / SHARDS).exists():
        return assemble(config, read_shards(directory), str(directory / SHARDS))
    return assemble(config, read_weights(directory / MODEL), str(directory / MODEL))


def assemble(config: ModelConfig, state: Mapping[str, Tensor], where: str) -> Transformer:
    """A model that uses the tensors of `state` directly. Raises: DataError naming every tensor that does not fit."""
    stored = sum(tensor.numel() for tensor in state.values())
    if config.num_layers > len(state) or config.num_parameters > _FORGED * max(stored, 1):  # before anything is built
        what = f"the config has {config.num_layers:,} layers and {config.num_parameters:,} parameters, "
        what += f"but there are {len(state)} tensors with {stored:,} numbers"
        raise DataError(where, what, "is it the file of another model?")
    with torch.device("meta"):
        model = Transformer(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    wrong = [
        f"{name} {tuple(state[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name]
    ]
    missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    for kind, names in (("missing", missing), ("not of this model", surplus), ("of another shape", sorted(wrong))):
        if names:
            raise DataError(
                where, f"{len(names)} tensors are {kind}, first: {names[0]}", "is it the file of another model?"
            )
    model.load_state_dict(state, assign=True)
    return model
