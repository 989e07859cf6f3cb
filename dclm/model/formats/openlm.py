"""open_lm's own checkpoint files (`epoch_N.pt`), read and written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import atomic_file
from dclm.model.config import ModelConfig
from dclm.model.formats.foreign import LOADING_FAULTS, first_line
from dclm.model.transformer import Transformer
from dclm.model.weights import assemble

OURS = "rotary.inv_freq"
THEIRS = re.compile(r"layers\.\d+\.attention\.pos_embed\.inv_freq")
PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DistributedDataParallel and torch.compile add to names; FSDP and a single process add none."""

_SCALAR: Any = np.float64(0).__reduce__()[0]
NUMPY_NUMBERS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),  # NumPy 2 renamed it
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]
"""The components of pickled NumPy numbers: the bounds of losses in `evaluation_metrics` are such numbers."""


def from_openlm(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Parameters by our names: without prefixes, and with the rotary frequencies of all layers once.

    Frequencies are used unchanged: FSDP runs trained with, and saved, values rounded to bfloat16. Raises: DataError if
    layers disagree on their frequencies.
    """
    plain = {_strip(name): tensor for name, tensor in state.items()}
    frequencies = [plain.pop(name) for name in list(plain) if THEIRS.fullmatch(name)]
    for other in frequencies[1:]:
        if not torch.equal(other, frequencies[0]):
            raise DataError(where, "layers have different rotary frequencies, allowed: the same in all")
    if frequencies:
        plain[OURS] = frequencies[0].float()
    return plain


def to_openlm(state: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Parameters by open_lm's names, as saved by FSDP and a single process: no prefix, frequencies in every layer."""
    out = {name: tensor for name, tensor in state.items() if name != OURS}
    return out | {f"layers.{layer}.attention.pos_embed.inv_freq": state[OURS] for layer in range(num_layers)}


def infer_config(state: Mapping[str, Tensor], where: str, *, seq_len: int) -> ModelConfig:
    """The shape of a model from its tensors (our names); `seq_len` cannot be derived.

    Raises: DataError if a tensor that determines it is missing.
    """
    try:
        vocab_size, hidden_dim = state["tok_embeddings.weight"].shape
        heads = hidden_dim // (2 * len(state[OURS]))
    except KeyError as error:
        raise DataError(
            where, f"no tensor {error}: this is not an open_lm model", "is it the file of another model?"
        ) from None
    except (ValueError, ZeroDivisionError, TypeError):
        what = f"{OURS} or tok_embeddings.weight does not have the shape it has in open_lm models"
        raise DataError(where, what, "is it the file of another model?") from None
    layers = {name.split(".")[1] for name in state if name.startswith("layers.")}
    return ModelConfig(
        hidden_dim=hidden_dim, num_layers=len(layers), num_heads=heads, seq_len=seq_len, vocab_size=vocab_size
    )


def read_openlm(path: Path, *, seq_len: int = 2048) -> Transformer:
    """The model in an open_lm checkpoint file, on the CPU. Only tensors, numbers and plain values are unpickled.

    Raises: DataError if the file is missing, corrupt or of another model.
    """
    try:
        with torch.serialization.safe_globals(NUMPY_NUMBERS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickles of another protocol
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "check the path") from None
    except LOADING_FAULTS as error:
        what = f"not a PyTorch checkpoint, or one that holds more than tensors: {first_line(error)}"
        raise DataError(str(path), what, "pass open_lm's epoch_N.pt; code in a file is never run") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise DataError(str(path), "found no `state_dict` of tensors", "pass open_lm's epoch_N.pt")
    ours = from_openlm({str(name): tensor for name, tensor in state.items()}, str(path))
    try:
        config = infer_config(ours, str(path), seq_len=seq_len)
    except ValueError as error:
        raise DataError(str(path), f"no model has such a shape: {error}", "is it the file of another model?") from None
    return assemble(config, ours, str(path))


def write_openlm(model: Transformer, path: Path, *, epoch: int = 1, name: str = "dclm") -> None:
    """Write an `epoch_N.pt` that open_lm loads. Raises: ConfigError if `path` does not end in .pt."""
    if path.suffix != ".pt":
        raise ConfigError(str(path), "allowed: a file that ends in .pt")
    state = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    content = {"epoch": epoch, "name": name, "state_dict": to_openlm(state, model.config.num_layers)}
    with atomic_file(path) as temporary:
        torch.save(content, temporary)


def _strip(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name
