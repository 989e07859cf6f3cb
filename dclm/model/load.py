"""One door to every model that can be evaluated: a checkpoint, a training run, an open_lm file, or `hf:` and a path."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from dclm.core.errors import DataError
from dclm.model.config import ModelConfig
from dclm.model.interface import LanguageModel
from dclm.model.openlm import read_openlm
from dclm.model.weights import CONFIG, MODEL, TOKENIZER, read_config, read_model

CHECKPOINTS = "checkpoints"
STEP = "step-"
HUGGING_FACE = "hf:"
OPEN_LM = ".pt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model ready to score, in evaluation mode."""

    model: LanguageModel
    path: Path
    """The directory it was read from: a training run is resolved to its last checkpoint."""
    tokenizer_path: Path | None
    """tokenizer.json, where the directory has one."""
    config: ModelConfig | None
    """None for a model of `transformers`."""


def load_model(path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Load `DIR/checkpoints/step-…`, the last checkpoint of a training run `DIR`, open_lm's `FILE.pt`, or `hf:DIR`.

    Weights are kept as they are in float32, or cast to `dtype`; logits are float32 always.
    Raises: DataError if there is no such model, or its files are missing or corrupt.
    """
    if str(path).startswith(HUGGING_FACE):
        from dclm.model.adapter import load_huggingface

        directory = Path(str(path)[len(HUGGING_FACE) :])
        foreign = load_huggingface(directory, device, dtype)
        return LoadedModel(model=foreign, path=directory, tokenizer_path=_tokenizer(directory), config=None)
    if str(path).endswith(OPEN_LM):
        directory = Path(path).parent
        model = read_openlm(Path(path))
    else:
        directory = find_checkpoint(Path(path))
        model = read_model(directory)
    inv_freq = model.rotary.inv_freq
    model = model.to(device=device, dtype=dtype).eval()
    model.rotary.inv_freq = inv_freq.to(device)  # angles stay exact whatever the precision of the weights
    return LoadedModel(model=model, path=directory, tokenizer_path=_tokenizer(directory), config=model.config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What can be said of a model without its weights."""

    seq_len: int
    tokenizer_path: Path | None
    ours: bool
    """False for a model of `transformers`."""


def describe_model(path: str | Path) -> ModelDescription:
    """The window and the tokenizer of what `load_model` would load; an open_lm file alone has to be read for it.

    Raises: DataError if there is no such model.
    """
    if str(path).startswith(HUGGING_FACE):
        from dclm.model.adapter import huggingface_window

        directory = Path(str(path)[len(HUGGING_FACE) :])
        return ModelDescription(seq_len=huggingface_window(directory), tokenizer_path=_tokenizer(directory), ours=False)
    if str(path).endswith(OPEN_LM):
        seq_len, directory = read_openlm(Path(path)).seq_len, Path(path).parent
    else:
        directory = find_checkpoint(Path(path))
        seq_len = read_config(directory).seq_len
    return ModelDescription(seq_len=seq_len, tokenizer_path=_tokenizer(directory), ours=True)


def find_checkpoint(path: Path) -> Path:
    """`path` itself if it holds a model, else the last checkpoint of the training run at `path`.

    Raises: DataError if there is neither.
    """
    if (path / MODEL).exists() or (path / CONFIG).exists():
        return path
    found = list_checkpoints(path)
    if not found:
        what = f"no model: neither {MODEL} nor {CHECKPOINTS}/{STEP}… is there"
        raise DataError(str(path), what, "pass a checkpoint, the --out of `dclm train`, or hf:DIRECTORY")
    return found[-1]


def list_checkpoints(run: Path) -> list[Path]:
    """The committed checkpoints of a training run, by step."""
    found = ((path.name.removeprefix(STEP), path) for path in (run / CHECKPOINTS).glob(f"{STEP}*"))
    return [path for _, path in sorted((int(step), path) for step, path in found if step.isdecimal())]


def _tokenizer(directory: Path) -> Path | None:
    path = directory / TOKENIZER
    return path if path.exists() else None
