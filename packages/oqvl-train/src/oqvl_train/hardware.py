"""Peak FLOP/s of a device: the denominator of MFU."""

from __future__ import annotations

import platform
import time

import torch

from oqvl_train.config import Precision

PEAK_BF16_FLOPS = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989.4e12,
    "H200": 989.4e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L4": 121e12,
}
"""Dense bf16 FLOP/s from the vendor's data sheets, by a part of the device's name. The first match counts."""

_MEASURED_SIZE = {"cpu": 256, "cuda": 8192}
_NUM_MEASUREMENTS = 4


def device_name(device: torch.device) -> str:
    """Return the name of the device model, e.g. `NVIDIA A100-SXM4-40GB`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def peak_flops(device: torch.device, precision: Precision) -> float:
    """Return the peak FLOP/s of `device`: from the table if it is listed, else the best of a few matrix products."""
    if precision is Precision.BF16 and device.type == "cuda":
        name = device_name(device)
        for part, flops in PEAK_BF16_FLOPS.items():
            if part in name:
                return flops
    return _measure(device, torch.bfloat16 if precision is Precision.BF16 else torch.float32)


def _measure(device: torch.device, dtype: torch.dtype) -> float:
    size = _MEASURED_SIZE[device.type]
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(_NUM_MEASUREMENTS):
        _synchronize(device)
        start = time.perf_counter()
        matrix @ matrix
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
