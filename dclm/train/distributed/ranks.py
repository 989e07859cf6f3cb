"""The processes that train together: their ranks and devices, and how they sum and synchronize."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from dclm.core.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train one model."""

    rank: int = 0
    world_size: int = 1
    shard_ranks: int = 1
    """Number of neighboring ranks that share one copy of the parameters. Divides `world_size`."""
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    folder: int = 0
    """The lowest rank that works in the same folder as this one."""

    @property
    def keeps_folder(self) -> bool:
        """Whether this rank fills and tidies the folder that it works in."""
        return self.rank == self.folder

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and draws progress."""
        return self.rank == 0

    def to_device(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """`rows` on this rank's device; from pinned memory, so that the host need not wait for the GPU."""
        tensor = torch.from_numpy(rows)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def sum(self, values: Tensor) -> Tensor:
        """`values` summed over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def largest(self, value: int) -> int:
        """The largest `value` of all ranks. It is exchanged between the CPUs, and no GPU waits for it."""
        if self.world_size == 1:
            return value
        values = torch.tensor([value])
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values[0])

    def tell(self, text: str) -> str:
        """The first rank's `text`, on every rank."""
        told = [text]
        if self.world_size > 1:
            dist.broadcast_object_list(told, src=0)
        return told[0]

    def collect(self, value: T) -> list[T]:
        """The value of every rank, by rank, on every rank. Values are small and can be pickled."""
        return _of_all(value) if self.world_size > 1 else [value]

    def wait(self) -> None:
        """Return when all ranks have reached this call."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join(device: Device, *, timeout_seconds: int, shard_over: int | None = None, folder: str = "") -> Iterator[Ranks]:
    """The ranks according to the environment that torchrun and Ray Train set; a single process if it is not set.

    If a rank stalls for longer than `timeout_seconds`, the run aborts. Parameters are sharded over `shard_over` ranks
    (None: those of a node, if all nodes have equally many; otherwise all ranks). folder: identifies the folder that a
    rank works in; ranks that give the same one share it. Raises: ConfigError if CUDA is requested but not available, or
    `shard_over` does not divide the ranks.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda", "no CUDA device is available, allowed: auto | cpu")
    use_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local_rank) if use_cuda else torch.device("cpu")
    if shard_over is not None and world_size % shard_over:
        raise ConfigError(f"--shard-over {shard_over}", f"found {world_size} ranks, allowed: a divisor of {world_size}")
    if use_cuda:
        torch.cuda.set_device(where)
    if world_size == 1:
        yield Ranks(device=where)
        return
    owner = not dist.is_initialized()  # Ray Train has already created the group
    if owner:
        dist.init_process_group(backends(use_cuda), timeout=timedelta(seconds=timeout_seconds))
    try:
        yield Ranks(
            rank=dist.get_rank(),
            world_size=world_size,
            shard_ranks=shard_over or _ranks_of_a_node(world_size),
            device=where,
            folder=_of_all(folder).index(folder),
        )
    finally:
        if owner:
            dist.destroy_process_group()


def backends(use_cuda: bool) -> str:
    """The backends that ranks use. gloo is also needed with GPUs, because names and plans of checkpoints are on the
    CPU."""
    return "cpu:gloo,cuda:nccl" if use_cuda else "gloo"


def _of_all(value: T) -> list[T]:
    """The value of every rank, by rank."""
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _ranks_of_a_node(world_size: int) -> int:
    """Number of ranks per node; all of them if nodes differ, because then copies cannot be divided evenly."""
    sizes = _of_all(int(os.environ.get("LOCAL_WORLD_SIZE", world_size)))
    alike = len(set(sizes)) == 1 and world_size % sizes[0] == 0
    return sizes[0] if alike else world_size
