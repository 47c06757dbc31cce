"""The library alone: what it imports, and that its table of contents is complete."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = ["pydantic", "pyarrow", "tokenizers", "PIL", "typer", "webdataset", "torch"]


@pytest.mark.parametrize("with_numba", [True, False])
def test_it_packs_with_nothing_but_numpy(with_numba: bool) -> None:
    blocked = BLOCKED if with_numba else [*BLOCKED, "numba"]
    script = f"""
import sys
for name in {blocked}: sys.modules[name] = None
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.streaming import StreamingPacker
plan = pack([6, 5, 4, 3], 10).shuffled(1)
assert sorted(sorted(items.tolist()) for items in plan) == [[0, 2], [1, 3]]
assert pack([6, 5], 10, weights=[1, 2], weight_capacity=3).num_bins == 2
assert list(StreamingPacker(10).pack([("a", 6), ("b", 4)])) == [["a", "b"]]
print(sorted(name for name in sys.modules if name.startswith("oqvl_") and "binpacking" not in name))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "['oqvl_pack', 'oqvl_shards', 'oqvl_shards.errors', 'oqvl_shards.lazy_names']"


@pytest.mark.parametrize("wing", ["binpacking", "corpus", "documents"])
def test_a_wing_lists_its_rooms(wing: str) -> None:
    package = importlib.import_module(f"oqvl_pack.{wing}")
    assert package.__doc__ is not None and package.__file__ is not None
    listed = [line.split()[0] for line in package.__doc__.splitlines() if line.startswith("    ") and line[4] != " "]
    modules = [path.stem for path in Path(package.__file__).parent.glob("*.py") if path.stem != "__init__"]
    assert sorted(listed) == sorted(modules)
