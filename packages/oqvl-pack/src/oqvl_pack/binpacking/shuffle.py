"""Seeded orders that are the same on every machine and for every release of numpy.

`numpy.random` promises no stable permutations across releases, so items are sorted by a key instead: the output
function of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014), applied
to the item's number. It is a bijection of 64-bit integers, so no two items share a key.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def mix(numbers: NDArray[np.integer], seed: int) -> NDArray[np.uint64]:
    """Return the sort key of each number under `seed`, uint64 of the same shape."""
    z = numbers.astype(np.uint64) * np.uint64(_GOLDEN_GAMMA) + np.uint64(start_of(seed))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def permutation(num: int, seed: int) -> NDArray[np.int64]:
    """Return the numbers 0 ... `num - 1` in a random order, int64 [num]."""
    return np.argsort(mix(np.arange(num, dtype=np.uint64), seed))


def start_of(seed: int) -> int:
    """Return where in SplitMix64's sequence the keys of `seed` begin, 64 bits."""
    z = (seed + _GOLDEN_GAMMA) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)
