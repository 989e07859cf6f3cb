"""Tensors written jointly by several ranks, each its own part, as safetensors files through PyTorch's DCP.

A directory `shards` contains one file per rank. Each file's header says which part of which tensor it holds, so that
any number of ranks can read what any other number wrote. No file is a pickle: DCP's own format, whose `.metadata` runs
code when it is read, is neither written nor read.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from dclm.core.errors import DataError

SHARDS = "shards"
WEIGHTS = "model."
"""Prefix of the model's own tensors among those of a training run."""
_PICKLED = ".metadata"
"""A file that DCP's own format has next to its parts."""


def write_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Write this rank's part of `tensors` (DTensors, or whole ones that all ranks share); all ranks must call it
    together.

    Raises: on every rank, the OSError that one of them met.
    """
    try:
        save(tensors, storage_writer=HuggingFaceStorageWriter(str(directory / SHARDS), save_distributed=True))
    except CheckpointException as error:
        raise _first(error, OSError) or error from error


def load_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Fill `tensors` in place, each rank its own part, or everything in a single process.

    Raises: DataError if a file is missing or corrupt, or a tensor is missing or of another shape.
    """
    _require_safetensors(directory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about missing ranks
        try:
            load(tensors, storage_reader=_Reader(str(directory / SHARDS)), no_dist=not dist.is_initialized())
        except CheckpointException as error:
            cause = next(iter(error.failures.values()))[0]
            raise _corrupt(directory, cause) from error


def read_shards(directory: Path) -> dict[str, Tensor]:
    """The complete weights of the model, on the CPU, by name; the optimizer's tensors are not read.

    Raises: DataError like `load_shards`.
    """
    _require_safetensors(directory)
    try:
        metadata = _Reader(str(directory / SHARDS)).read_metadata().state_dict_metadata
    except (OSError, ValueError) as error:
        raise _corrupt(directory, error) from error
    tensors = {
        name: torch.empty(stored.size, dtype=stored.properties.dtype)
        for name, stored in metadata.items()
        if name.startswith(WEIGHTS) and isinstance(stored, TensorStorageMetadata)
    }
    load_shards(directory, tensors)
    return {name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items()}


class _Reader(HuggingFaceStorageReader):
    """DCP's reader, with a check that the parts form complete tensors: a missing file would leave memory
    uninitialized."""

    def read_metadata(self) -> Metadata:
        """Index of the stored tensors. Raises: ValueError if a header is unreadable or tensors are incomplete."""
        try:
            metadata = super().read_metadata()
        except (SafetensorError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
            raise ValueError(f"a header cannot be read: {type(error).__name__}: {error}") from error
        if not metadata.state_dict_metadata:
            raise ValueError("no safetensors files")
        for name, stored in metadata.state_dict_metadata.items():
            assert isinstance(stored, TensorStorageMetadata)
            _require_whole(name, stored)
        return metadata


def _require_whole(name: str, stored: TensorStorageMetadata) -> None:
    """Raises: ValueError unless the parts fill the tensor without gap or overlap, as far as their sizes show."""
    lengths = {len(stored.size)}
    for chunk in stored.chunks:
        lengths |= {len(chunk.offsets), len(chunk.sizes)}
        if any(offset < 0 for offset in chunk.offsets):
            raise ValueError(f"a part of {name} begins before its start")
    found = sum(math.prod(chunk.sizes) for chunk in stored.chunks)
    if len(lengths) > 1 or len({tuple(c.offsets) for c in stored.chunks}) < len(stored.chunks):
        raise ValueError(f"the parts of {name} do not fit together")
    if found != math.prod(stored.size):
        raise ValueError(f"{name} has {found:,} numbers, expected {math.prod(stored.size):,}")


def _require_safetensors(directory: Path) -> None:
    """Raises: DataError if the shards are in DCP's own format."""
    if (directory / SHARDS / _PICKLED).exists():
        what = f"found {_PICKLED}, a pickle, which can run code; allowed: safetensors files"
        raise DataError(str(directory / SHARDS), what, "resume from a model.safetensors, or train again")


def _first(error: CheckpointException, kind: type[OSError]) -> OSError | None:
    return next((cause for cause, _ in error.failures.values() if isinstance(cause, kind)), None)


def _corrupt(directory: Path, error: BaseException) -> DataError:
    what = f"cannot be read: {type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
    return DataError(str(directory / SHARDS), what, "delete this checkpoint and continue from an earlier one")
