"""Measure seconds and bins of other packers on the caption lengths of `packing.py`, in an environment of their own.

    python -m venv peers && peers/bin/pip install numpy numba pyarrow binpacking lightbinpack
    peers/bin/pip install --no-deps trl axolotl
    python packages/oqvl-pack/benchmarks/packing.py --peers peers/bin/python

`packing.py` starts this script with that interpreter. The script needs none of our packages. From packages that would
import a training framework it loads only the packing functions, from the installed file. A peer that is not installed
is reported as such.

    peers/bin/python packages/oqvl-pack/benchmarks/peers.py lengths.npy 4096
"""

from __future__ import annotations

import ast
import json
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

Packer = Callable[[np.ndarray, int], int]
MAX_QUADRATIC_ITEMS = 10_000


def load_functions(package: str, path: str, names: set[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Run the definitions of `names` in an installed package's file, without importing the package."""
    file = Path(str(distribution(package).locate_file(path)))
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names]
    exec(compile(tree, str(file), "exec"), namespace)
    return namespace


def trl_packer() -> Packer:
    """TRL's best-fit decreasing. It packs the tokens themselves, here one byte each."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types

    names = {"_SegmentTree", "_pack_bfd", "_check_if_columns_can_be_packed"}
    modules = {
        "pa": pa,
        "pc": pc,
        "pyarrow": pyarrow,
        "np": np,
        "defaultdict": defaultdict,
        "deque": deque,
        "Literal": Literal,
    }
    namespace = load_functions("trl", "trl/data_utils.py", names, modules)

    def run(lengths: np.ndarray, capacity: int) -> int:
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
        tokens = pa.array(np.zeros(int(offsets[-1]), dtype=np.int8))
        return len(namespace["_pack_bfd"](pa.table({"input_ids": pa.ListArray.from_arrays(offsets, tokens)}), capacity))

    return run


def axolotl_packer() -> Packer:
    """axolotl's first-fit over groups of 100,000, in one process, with compiled kernels."""
    import numba

    names = {"pack_group"}
    namespace = load_functions("axolotl", "axolotl/utils/samplers/multipack.py", names, {"np": np, "numba": numba})

    def run(lengths: np.ndarray, capacity: int) -> int:
        groups = np.split(lengths.astype(np.int64), range(100_000, len(lengths), 100_000))
        return sum(len(namespace["pack_group"](group, 0, capacity, len(group), 1 << 30)) for group in groups)

    run(np.ones(10, dtype=np.int64), 4)
    return run


def lightbinpack_packer() -> Packer:
    """lightbinpack's fastest packer, in C++."""
    obfd = import_module("lightbinpack").obfd
    return lambda lengths, capacity: len(obfd(lengths.tolist(), capacity))


def binpacking_packer() -> Packer:
    """binpacking's greedy fill of a constant volume, which is quadratic."""
    to_constant_volume = import_module("binpacking").to_constant_volume

    def run(lengths: np.ndarray, capacity: int) -> int:
        if len(lengths) > MAX_QUADRATIC_ITEMS:
            raise ValueError("quadratic: not run at this size")
        return len(to_constant_volume(dict(enumerate(lengths.tolist())), capacity))

    return run


PEERS: dict[str, Callable[[], Packer]] = {
    "trl": trl_packer,
    "axolotl": axolotl_packer,
    "lightbinpack": lightbinpack_packer,
    "binpacking": binpacking_packer,
}


def main() -> None:
    lengths, capacity = np.load(sys.argv[1]), int(sys.argv[2])
    results: dict[str, dict[str, Any]] = {}
    for name, load in PEERS.items():
        try:
            run = load()
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            num_bins = run(lengths, capacity)
        except Exception as error:
            results[name] = {"not_run": f"{type(error).__name__}: {error}"}
            continue
        results[f"{name} {version(name)}"] = {
            "num_bins": num_bins,
            "wall_seconds": round(time.perf_counter() - wall_start, 4),
            "cpu_seconds": round(time.process_time() - cpu_start, 4),
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
