"""Tokens per second, and the fraction of a device's peak that they reach (MFU)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PEAK_FLOPS = MappingProxyType(
    {
        "A100": 312e12,
        "H100 PCIe": 756e12,
        "H100 NVL": 835e12,
        "H100": 989e12,
        "H200": 989e12,
        "B200": 2250e12,
        "L40S": 362e12,
        "A10G": 70e12,
    }
)
"""Substring of a CUDA device's name (the first match counts) → dense bfloat16 peak, FLOP/s, from the manufacturers'
data sheets."""


def peak_flops(device: torch.device) -> float | None:
    """Peak of the device in bfloat16; None if unknown (CPUs)."""
    if device.type != "cuda":
        return None
    import torch

    return peak_of(torch.cuda.get_device_name(device))


def peak_of(name: str) -> float | None:
    """Peak in bfloat16 of the CUDA device with this name, as reported by its driver; None if unknown."""
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


def model_flops_utilization(tokens_per_second: float, flops_per_token: int, peak: float, world_size: int) -> float:
    """MFU = tokens/s · FLOPs per token (`ModelConfig.flops_per_token`, without recomputation) / (peak · devices)."""
    return tokens_per_second * flops_per_token / (peak * world_size)
