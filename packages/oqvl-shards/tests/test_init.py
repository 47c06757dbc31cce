import subprocess
import sys

import pytest

HEAVY = ("PIL", "numba", "open_clip", "pyarrow", "ray", "torch", "transformers", "webdataset")


@pytest.mark.parametrize("module", ["oqvl_shards", "oqvl_shards.cli"])
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_reading_packs_needs_no_torch() -> None:
    code = "import sys, oqvl_shards.packed, oqvl_shards.run; print({'torch', 'webdataset'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
