"""Decide whether the compiled kernels run.

Importing numba takes about as long as packing a hundred thousand items, and some installations cannot load it at all.
Callers ask here, and run their numpy code if the answer is None. Both paths give the same results, bit for bit.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

MIN_COMPILED_ITEMS = 100_000
"""Number of items from which the compiled kernels repay the import of numba."""


def compiled_kernels(num_items: int) -> ModuleType | None:
    """Return `oqvl_pack.binpacking.kernels`, or None when numpy should do the work.

    Args:
        num_items: Number of items to pack. Below `MIN_COMPILED_ITEMS` the import costs more than it saves.
    """
    return _import_kernels() if num_items >= MIN_COMPILED_ITEMS else None


@cache
def _import_kernels() -> ModuleType | None:
    """Import the kernels once per process."""
    try:
        from oqvl_pack.binpacking import kernels
    except Exception:  # numba is missing, disabled, or rejects this numpy, each with a different exception
        return None
    return kernels
