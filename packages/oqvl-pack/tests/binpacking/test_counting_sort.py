"""Counting sorts: numpy and numba agree to the bit, for any number of threads; few items never import numba."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from oqvl_pack.binpacking import compiled, counting_sort
from oqvl_pack.binpacking.packing import pack

NUM_ITEMS = 120_000  # enough for the compiled kernels
SCRIPT = """
import hashlib, sys
import numpy as np
{prelude}
from oqvl_pack import pack
lengths = np.minimum(144 + np.ceil(np.random.default_rng(5).lognormal(3.1, 0.7, {num_items})).astype(np.int64), 4096)
digest = hashlib.sha256()
weights = np.arange({num_items}) % 3
plans = [pack(lengths, 4096, algorithm=algorithm) for algorithm in ("best", "bfd", "ffd", "next_fit")]
plans += [pack(lengths, 4096, weights=weights, weight_capacity=20, algorithm=name) for name in ("ffd", "next_fit")]
for plan in plans:
    for one in (plan, plan.shuffled(3)):
        digest.update(one.indices.tobytes() + one.offsets.tobytes() + one[len(one) // 2].tobytes())
print(digest.hexdigest(), bool(sys.modules.get("numba")))
"""


def run_script(prelude: str = "", num_items: int = NUM_ITEMS, **environment: str) -> tuple[str, bool]:
    script = SCRIPT.format(prelude=prelude, num_items=num_items)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    digest, imported = done.stdout.split()
    return digest, imported == "True"


def test_same_bits_with_and_without_numba() -> None:
    compiled = run_script()
    blocked = run_script("sys.modules['numba'] = None")
    disabled = run_script(NUMBA_DISABLE_JIT="1")
    assert compiled[1]
    assert not blocked[1]
    assert compiled[0] == blocked[0] == disabled[0]


def test_works_where_numba_cannot_cache() -> None:
    prelude = (
        "from numba.core import caching\n"
        "found = caching.CacheImpl.__init__\n"
        "def refuse(self, function):\n"
        "    if function.__module__ == 'oqvl_pack.binpacking.kernels': raise RuntimeError('no locator available')\n"
        "    found(self, function)\n"
        "caching.CacheImpl.__init__ = refuse\n"
    )
    assert run_script(prelude) == run_script()


@pytest.mark.parametrize("error", ["OSError(28, 'No space left on device')", "EOFError('Ran out of input')"])
def test_works_where_the_cache_is_full_or_damaged(error: str) -> None:
    prelude = (
        "from numba.core import caching\n"
        "def fail(self, *arguments):\n"
        f"    raise {error}\n"
        "caching.IndexDataCacheFile.load = caching.IndexDataCacheFile.save = fail\n"
    )
    assert run_script(prelude) == run_script()


@pytest.mark.parametrize("error", ["SystemError('initialization of _internal failed')", "OSError('no libllvmlite.so')"])
def test_works_where_numba_cannot_be_loaded(error: str) -> None:
    prelude = (
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'numba': raise {error}\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    assert run_script(prelude) == (run_script()[0], False)


def test_few_items_never_import_numba() -> None:
    assert not run_script(num_items=compiled.MIN_COMPILED_ITEMS - 1)[1]


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch, num_threads: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 2000, NUM_ITEMS)
    monkeypatch.setattr(counting_sort, "_num_threads", lambda: num_threads)
    plan = pack(lengths, 4096).shuffled(1)
    digest = hashlib.sha256(plan.indices.tobytes() + plan.offsets.tobytes()).hexdigest()
    monkeypatch.setattr(compiled, "_import_kernels", lambda: None)
    plan = pack(lengths, 4096).shuffled(1)
    assert hashlib.sha256(plan.indices.tobytes() + plan.offsets.tobytes()).hexdigest() == digest


def test_numpy_chunks_join(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 5000)
    whole = pack(lengths, 200).shuffled(1).indices
    monkeypatch.setattr(counting_sort, "_CHUNK_ITEMS", 7)
    assert np.array_equal(pack(lengths, 200).shuffled(1).indices, whole)
