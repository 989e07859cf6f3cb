"""What worker processes run for tests: light, so that they start fast."""

from __future__ import annotations

import os


def gpu_and_process(_: int) -> tuple[str, int]:
    """What a worker sees of the GPUs, and which worker it is."""
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()
