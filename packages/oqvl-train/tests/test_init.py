from __future__ import annotations

import subprocess
import sys

import oqvl_train


def test_the_public_names_are_these() -> None:
    assert oqvl_train.__all__ == [
        "Batch",
        "DataOrder",
        "Schedule",
        "TrainConfig",
        "TrainReport",
        "Trainee",
        "TrainingInterruptedError",
        "train",
    ]
    assert all(getattr(oqvl_train, name).__name__ == name for name in oqvl_train.__all__)


def test_the_package_imports_no_torch_by_itself() -> None:
    code = "import sys, oqvl_train; oqvl_train.TrainConfig, oqvl_train.TrainReport; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
