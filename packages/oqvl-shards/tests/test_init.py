import subprocess
import sys

import pytest

import oqvl_shards

HEAVY = ("PIL", "numba", "open_clip", "pyarrow", "ray", "torch", "transformers", "webdataset")


def test_the_public_names_are_these() -> None:
    assert oqvl_shards.__all__ == [
        "Account",
        "Dataset",
        "Kind",
        "Lineage",
        "Manifest",
        "OqvlError",
        "Sample",
        "SampleError",
        "Shard",
        "ShardReader",
        "StageConfig",
        "TarWriter",
        "map_shards",
        "open_dataset",
        "write_manifest",
    ]
    assert oqvl_shards.__all__ == sorted(oqvl_shards.__all__)
    assert all(hasattr(oqvl_shards, name) for name in oqvl_shards.__all__)


@pytest.mark.parametrize("module", ["oqvl_shards", "oqvl_shards.cli"])
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_reading_packs_needs_no_torch() -> None:
    code = "import sys, oqvl_shards.packed, oqvl_shards.run; print({'torch', 'webdataset'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
