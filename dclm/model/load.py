"""Loads every model that can be evaluated: a checkpoint, a training run, an open_lm file, or `hf:` and a path."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import torch

from dclm.core.errors import DataError
from dclm.core.names import is_inside
from dclm.core.record import RECORD, require_complete
from dclm.core.storage import TEMPORARY, is_local
from dclm.core.stores.cache import scratch
from dclm.core.stores.store import exists, join, verified_file
from dclm.model.config import ModelConfig
from dclm.model.formats.openlm import read_openlm
from dclm.model.interface import LanguageModel
from dclm.model.weights import CONFIG, MODEL, TOKENIZER, read_config, read_model

CHECKPOINTS = "checkpoints"
STEP = "step-"
STATE = "state.json"
HUGGING_FACE = "hf:"
OPEN_LM = ".pt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model ready to score, in evaluation mode."""

    model: LanguageModel
    path: Path
    """The directory it was read from: for a training run, its last checkpoint."""
    tokenizer_path: Path | None
    """tokenizer.json, if the directory has one."""
    config: ModelConfig | None
    """None for a model of `transformers`."""


def load_model(
    path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    window: int | None = None,
) -> LoadedModel:
    """Load `DIR/checkpoints/step-…`, the last checkpoint of a training run `DIR`, open_lm's `FILE.pt`, or `hf:DIR`.

    Weights stay float32, or are cast to `dtype`; logits are always float32. `window` is the maximum text length for a
    `transformers` model whose configuration does not state one. Raises: DataError if there is no such model, or its
    files are missing or corrupt.
    """
    if str(path).startswith(HUGGING_FACE):
        from dclm.model.formats.adapter import load_huggingface

        directory = Path(str(path)[len(HUGGING_FACE) :])
        foreign = load_huggingface(directory, device, dtype, window)
        return LoadedModel(model=foreign, path=directory, tokenizer_path=_tokenizer(directory), config=None)
    if str(path).endswith(OPEN_LM):
        directory = Path(path).parent
        model = read_openlm(Path(path))
    else:
        directory = find_checkpoint(path)
        model = read_model(directory)
    inv_freq = model.rotary.inv_freq
    model = model.to(device=device, dtype=dtype).eval()
    model.rotary.inv_freq = inv_freq.to(device)  # angles stay exact whatever the precision of the weights
    return LoadedModel(model=model, path=directory, tokenizer_path=_tokenizer(directory), config=model.config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """The properties of a model that are known without its weights."""

    seq_len: int
    tokenizer_path: Path | None
    ours: bool
    """False for a model of `transformers`."""


def describe_model(path: str | Path, window: int | None = None) -> ModelDescription:
    """The window and the tokenizer of the model that `load_model` would load; only an open_lm file has to be read for
    this.

    window: the requested one, for a `transformers` model.

    Raises: DataError if there is no such model, or its window is unknown or shorter than the requested one.
    """
    if str(path).startswith(HUGGING_FACE):
        from dclm.model.formats.adapter import huggingface_window

        directory = Path(str(path)[len(HUGGING_FACE) :])
        seq_len = huggingface_window(directory, window)
        return ModelDescription(seq_len=seq_len, tokenizer_path=_tokenizer(directory), ours=False)
    if str(path).endswith(OPEN_LM):
        seq_len, directory = read_openlm(Path(path)).seq_len, Path(path).parent
    else:
        directory = find_checkpoint(path)
        seq_len = read_config(directory).seq_len
    return ModelDescription(seq_len=seq_len, tokenizer_path=_tokenizer(directory), ours=True)


def find_checkpoint(address: str | Path) -> Path:
    """A local folder with the model at an address: that folder itself, or the last checkpoint of a training run.

    For a finished run, whose record names its last checkpoint, the files are first compared with their hashes. A run at
    a URL is copied to this machine's scratch space. Raises: DataError if the model is missing, or does not match its
    record.
    """
    if exists(join(address, RECORD)):
        return _recorded_checkpoint(str(address))
    if not is_local(str(address)):
        hint = "pass the --out of a `dclm train` that has finished"
        raise DataError(str(address), f"no {RECORD}: not a finished training run", hint)
    path = Path(address)
    if (path / MODEL).exists() or (path / CONFIG).exists():
        return _intact(path)
    found = list_checkpoints(path)
    if not found:
        what = f"no model: found neither {MODEL} nor {CHECKPOINTS}/{STEP}…"
        raise DataError(str(path), what, "pass a checkpoint, the --out of `dclm train`, or hf:DIRECTORY")
    return _intact(found[-1])


def _intact(checkpoint: Path) -> Path:
    """The checkpoint, after comparing the files named in its state with their hashes; other files are not checked.

    Raises: DataError for a file that was changed.
    """
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        files = dict(state.get("files", {}))
    except (OSError, ValueError, TypeError, AttributeError):  # not a checkpoint of a training run of ours
        return checkpoint
    for name, digest in files.items():
        if isinstance(digest, str) and is_inside(name) and (checkpoint / name).is_file():
            verified_file(checkpoint / name, digest)
    return checkpoint


def _recorded_checkpoint(address: str) -> Path:
    """The last checkpoint of a finished run, verified."""
    record = require_complete(address, "checkpoint")
    steps = {entry.path.split("/")[1] for entry in record.files if entry.path.startswith(f"{CHECKPOINTS}/{STEP}")}
    last = f"{CHECKPOINTS}/{max(steps, key=lambda name: int(name.removeprefix(STEP)))}"
    files = [entry for entry in record.files if entry.path.startswith(f"{last}/")]
    found = {entry.path: verified_file(join(address, entry.path), entry.sha256) for entry in files}
    if is_local(address):
        return Path(address) / last
    folder = scratch() / "models" / record.fingerprint[:16]
    for name, path in found.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=TEMPORARY, delete=False) as handle:
                handle.write(path.read_bytes())
            os.replace(handle.name, target)
    return folder / last


def list_checkpoints(run: Path) -> list[Path]:
    """The committed checkpoints of a training run, by step."""
    found = ((path.name.removeprefix(STEP), path) for path in (run / CHECKPOINTS).glob(f"{STEP}*"))
    return [path for _, path in sorted((int(step), path) for step, path in found if step.isdecimal())]


def _tokenizer(directory: Path) -> Path | None:
    path = directory / TOKENIZER
    return path if path.exists() else None
