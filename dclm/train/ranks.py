"""The processes that train together: who is who, on which device, and how they add up and wait."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from dclm.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
TIMEOUT = timedelta(minutes=15)  # a rank that stalls longer ends the run instead of hanging it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train one model."""

    rank: int = 0
    world_size: int = 1
    ranks_per_node: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and draws progress."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join(device: Device) -> Iterator[Ranks]:
    """The ranks by the environment that torchrun and Ray Train set; one process alone where it is not set.

    Raises: ConfigError if CUDA is asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda", "no CUDA device is there, allowed: auto | cpu")
    use_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local_rank) if use_cuda else torch.device("cpu")
    if use_cuda:
        torch.cuda.set_device(where)
    if world_size == 1:
        yield Ranks(device=where)
        return
    owner = not dist.is_initialized()  # Ray Train has made the group already
    if owner:
        dist.init_process_group("nccl" if use_cuda else "gloo", timeout=TIMEOUT)
    try:
        yield Ranks(
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
            ranks_per_node=int(os.environ.get("LOCAL_WORLD_SIZE", world_size)),
            device=where,
        )
    finally:
        if owner:
            dist.destroy_process_group()
