"""Failures of memory, disk or communication between ranks, as errors of ours instead of the libraries'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from dclm.core.errors import DataError
from dclm.core.storage import is_disk_full

NO_MEMORY = ("can't allocate memory", "not enough memory")
STALLED = ("timed out", "timeout")
LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "connection refused")


class LostRankError(DataError):
    """Another rank stalled or ended. If that rank reports its own error, that one should be shown."""


@contextmanager
def faults_explained(scale: str, out: Path, timeout_seconds: int) -> Iterator[None]:
    """Raise the error behind an exception: DataError for no memory or a full disk, LostRankError for a rank that does
    not answer."""
    memory = "train on more ranks (--nproc), or pass --checkpoint-activations"
    go_on = "check the output of the other ranks; --resume continues from the last checkpoint"
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DataError(f"scale {scale}", f"out of GPU memory: {str(error).splitlines()[0]}", memory) from error
    except (OSError, SafetensorError) as error:
        if not is_disk_full(error):
            raise
        raise DataError(str(out), "the disk is full", "free some space and run again with --resume") from error
    except RuntimeError as error:
        said = str(error).lower()
        if any(sign in said for sign in NO_MEMORY):
            raise DataError(f"scale {scale}", "out of memory", memory) from error
        if any(sign in said for sign in LOST):
            raise LostRankError("ranks", "one rank ended while the others were waiting for it", go_on) from error
        if any(sign in said for sign in STALLED):
            what = f"one rank has not answered for {timeout_seconds} s, the limit set by --timeout"
            raise LostRankError("ranks", what, go_on) from error
        raise
