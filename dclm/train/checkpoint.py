"""Checkpoints of a training run: whole or not there, readable at any number of ranks, few kept."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dclm.errors import ConfigError, DataError
from dclm.model.load import CHECKPOINTS, STEP, list_checkpoints
from dclm.model.transformer import Transformer
from dclm.model.weights import read_weights, write_model
from dclm.storage import atomic_directory
from dclm.train.parallel import gather, scatter
from dclm.train.ranks import Ranks

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
MOMENTS = ("exp_avg", "exp_avg_sq")
BYTES_PER_PARAMETER = 12  # weights and two moments, float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands."""

    step: int
    """Updates done."""
    fingerprint: str
    """Of the run: scale, seed, data."""
    precision: str
    threads: int
    world_size: int


def checkpoint_path(out: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates lies."""
    return out / CHECKPOINTS / f"{STEP}{step:06d}"


def save_checkpoint(
    out: Path, model: Transformer, optimizer: torch.optim.Optimizer, state: State, tokenizer: Path | None, ranks: Ranks
) -> Path:
    """Write the checkpoint atomically: all ranks gather, the first writes.

    Raises: DataError if the disk is full.
    """
    path = checkpoint_path(out, state.step)
    weights = {name: gather(tensor) for name, tensor in model.state_dict().items()}
    moments: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        for moment in MOMENTS:
            moments[f"{moment}.{name}"] = gather(optimizer.state[parameter][moment]).contiguous()
    if ranks.is_first:
        try:
            with atomic_directory(path) as directory:
                write_model(directory, weights, model.config, tokenizer)
                save_file(dict(sorted(moments.items())), directory / OPTIMIZER)
                text = json.dumps(dataclasses.asdict(state), indent=1, sort_keys=True)
                (directory / STATE).write_text(text + "\n", encoding="utf-8")
        except (OSError, SafetensorError) as error:
            if getattr(error, "errno", None) != errno.ENOSPC and "No space left" not in str(error):
                raise
            raise DataError(str(path), "the disk is full", "free some space and run again with --resume") from error
    ranks.wait()
    return path


def prune_checkpoints(out: Path, keep: int) -> None:
    """Delete all but the last `keep` checkpoints."""
    for path in list_checkpoints(out)[:-keep]:
        shutil.rmtree(path)


def read_state(path: Path) -> State:
    """Raises: DataError if the file is missing or not ours."""
    try:
        return State(**json.loads((path / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(str(path / STATE), f"cannot be read: {error}", "delete this checkpoint") from error


def load_optimizer(path: Path, model: Transformer, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Fill the optimizer with the moments in the checkpoint `path`, made after `step` updates.

    Raises: DataError if the file is missing or corrupt.
    """
    moments = read_weights(path / OPTIMIZER)
    for name, parameter in model.named_parameters():
        state: dict[str, Tensor] = {"step": torch.tensor(float(step), device=parameter.device)}
        for moment in MOMENTS:
            full = moments.pop(f"{moment}.{name}")
            state[moment] = torch.zeros_like(parameter).copy_(scatter(full, parameter))
        optimizer.state[parameter] = state


def require_fresh(out: Path, resume: bool) -> None:
    """Raises: ConfigError if `out` holds an unfinished run and it is not to be resumed."""
    existing = list_checkpoints(out)
    if existing and not resume:
        hint = "pass --resume to go on with it, or choose another --out"
        raise ConfigError(str(out), f"holds an unfinished run, at {existing[-1].name}", hint)


def require_space(out: Path, parameters: int, keep: int) -> None:
    """Raises: DataError if the disk has no room for the checkpoints kept and the one being written."""
    needed = BYTES_PER_PARAMETER * parameters * (keep + 1)
    free = shutil.disk_usage(out).free
    if free < needed:
        what = f"{free / 1e9:.1f} GB are free, needed for {keep + 1} checkpoints: {needed / 1e9:.1f} GB"
        raise DataError(str(out), what, "choose another --out, or keep fewer checkpoints")
