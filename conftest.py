"""What holds for every test of the workspace: one thread, no hub, no deadline."""

from __future__ import annotations

import os

import hypothesis

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
