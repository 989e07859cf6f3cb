"""Tensors that several ranks wrote together, each its own part, in the format of torch.distributed.checkpoint (DCP).

A directory `shards` holds the parts and a `.metadata` file that says what lies where. Any number of ranks reads what
any other number wrote.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from dclm.core.errors import DataError

SHARDS = "shards"
WEIGHTS = "model."
"""Prefix of a model's own tensors among those of a training run."""


def write_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Write this rank's part of `tensors` (DTensors, or whole ones that all ranks share); all ranks call it together.

    Raises: on every rank, the OSError that one of them met.
    """
    try:
        save(tensors, checkpoint_id=directory / SHARDS)
    except CheckpointException as error:
        raise _first(error, OSError) or error from error


def load_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Fill `tensors` in place, each rank its own part; alone where there are no ranks.

    Raises: DataError if a file is missing or corrupt, or a tensor is not in them or of another shape.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are no ranks
        try:
            load(tensors, checkpoint_id=directory / SHARDS, no_dist=not dist.is_initialized())
        except CheckpointException as error:
            cause = next(iter(error.failures.values()))[0]
            raise _corrupt(directory, cause) from error


def read_shards(directory: Path) -> dict[str, Tensor]:
    """The whole weights of the model, on the CPU, by their names; what belongs to an optimizer is not read.

    Raises: DataError as `load_shards`.
    """
    try:
        metadata = FileSystemReader(directory / SHARDS).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise _corrupt(directory, error) from error
    tensors = {
        name: torch.empty(stored.size, dtype=stored.properties.dtype)
        for name, stored in metadata.items()
        if name.startswith(WEIGHTS) and isinstance(stored, TensorStorageMetadata)
    }
    load_shards(directory, tensors)
    return {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items()}


def _first(error: CheckpointException, kind: type[OSError]) -> OSError | None:
    return next((cause for cause, _ in error.failures.values() if isinstance(cause, kind)), None)


def _corrupt(directory: Path, error: BaseException) -> DataError:
    what = f"cannot be read: {type(error).__name__}: {(str(error) or 'no more is said').splitlines()[0]}"
    return DataError(str(directory / SHARDS), what, "delete this checkpoint and go on from an earlier one")
