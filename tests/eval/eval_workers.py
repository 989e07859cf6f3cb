"""Functions that worker processes run for tests: lightweight, so that they start quickly."""

from __future__ import annotations

import os


def gpu_and_process(_: int) -> tuple[str, int]:
    """The GPUs that a worker sees, and the worker's id."""
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()
