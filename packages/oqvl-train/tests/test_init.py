from __future__ import annotations

import subprocess
import sys


def test_the_package_imports_no_torch_by_itself() -> None:
    code = "import sys, oqvl_train; oqvl_train.TrainConfig, oqvl_train.TrainReport; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
