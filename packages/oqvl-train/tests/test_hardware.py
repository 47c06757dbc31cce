from __future__ import annotations

import pytest
import torch

from oqvl_train import hardware
from oqvl_train.config import Precision
from oqvl_train.hardware import PEAK_BF16_FLOPS, device_name, peak_flops

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA A10", 125e12),
    ],
)
def test_a_known_device_is_looked_up(name: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "device_name", lambda device: name)
    assert peak_flops(CUDA, Precision.BF16) == expected


def test_no_name_hides_a_longer_one() -> None:
    names = list(PEAK_BF16_FLOPS)
    for position, name in enumerate(names):
        assert not any(name in later for later in names[position + 1 :])


@pytest.mark.parametrize("precision", Precision)
def test_any_other_device_is_measured(precision: Precision) -> None:
    assert 1e6 < peak_flops(CPU, precision) < 1e15


def test_a_cpu_has_a_name() -> None:
    assert "threads" in device_name(CPU)
