"""Initial weights from an existing model: ours, open_lm's or an exported one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from dclm.core.errors import ConfigError
from dclm.model.config import ModelConfig
from dclm.model.load import STATE, list_checkpoints, load_model
from dclm.model.transformer import Transformer

FirstWeight = Callable[[str, torch.Size], Tensor]


class StartWeights:
    """The parameters of a model by name, float32 on the CPU."""

    def __init__(self, path: Path | str, config: ModelConfig) -> None:
        """path: as for `dclm evaluate`. config: config of the model to be trained.

        Raises: ConfigError if the shapes differ; DataError if there is no such model.
        """
        loaded = load_model(path)
        if not isinstance(loaded.model, Transformer) or loaded.config != config:
            found = "a different kind of model" if loaded.config is None else str(loaded.config)
            raise ConfigError(str(path), f"found {found}, allowed: {config}", "choose the scale of that model")
        self._state: Mapping[str, Tensor] = dict(loaded.model.named_parameters())

    @property
    def fingerprint(self) -> str:
        """sha256 over names and values."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._state.items()):
            digest.update(f"{name}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def first(self, name: str, shape: torch.Size) -> Tensor:
        """The initial value of a parameter."""
        value = self._state[name].detach()
        assert value.shape == shape, f"{name} has the shape {tuple(value.shape)}, not {tuple(shape)}"
        return value


def last_moments(path: str | Path | None) -> Path:
    """The checkpoint whose moments a run continues with: `path` itself, or the last one of the run `path`. Raises:
    ConfigError if there is no checkpoint or no path.
    """
    if path is None:
        raise ConfigError("--keep-moments", "found no --init", "name the run whose moments to continue with")
    found = [Path(path)] if (Path(path) / STATE).exists() else list_checkpoints(Path(path))
    if not found:
        what = "contains no optimizer state"
        raise ConfigError(str(path), what, "pass the directory of a training run, or start without --keep-moments")
    return found[-1]
