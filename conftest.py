"""What holds for every test of the workspace: one thread, no hub, no deadline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Read when torch, numba and the hub's client are first imported, which no conftest does. One thread a process: the
# sizes here are too small for more, and waiting threads that spin would slow every other process of the machine.
os.environ |= {
    "GOMP_SPINCOUNT": "0",
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
}

# Timing never decides a test. The same examples on every run: a failure in CI is a failure here.
hypothesis.settings.register_profile("oqvl", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("oqvl")

RAY_ATTEMPTS = 3


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of this machine alone, whose workers find the functions of oqvl-shards' tests."""
    import ray

    environment = {"PYTHONPATH": str(Path(__file__).parent / "packages" / "oqvl-shards" / "tests")}
    for attempt in range(1, RAY_ATTEMPTS + 1):
        try:
            ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": environment})
            break
        except Exception:  # Ray gives a node thirty seconds to come up, which a busy machine may exceed.
            ray.shutdown()
            if attempt == RAY_ATTEMPTS:
                raise
    yield
    ray.shutdown()
