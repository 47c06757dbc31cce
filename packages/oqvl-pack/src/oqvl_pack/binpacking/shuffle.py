"""Seeded orders that are the same on every machine and for every release of numpy.

`numpy.random` does not promise stable permutations across releases, so items are sorted by a key instead: the output
function of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014), applied
to the item's number. The function is a bijection of 64-bit integers, so no two items share a key.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_WORD = (1 << 64) - 1


def sort_key(number: Any, start: Any) -> Any:
    """Return the output of SplitMix64 at place `number` of the sequence that begins at `start`.

    This is the only copy of the generator: numpy runs it on whole arrays, and `oqvl_pack.binpacking.kernels` compiles
    it for single numbers.

    Args:
        number: uint64, an array or a compiled scalar.
        start: uint64 scalar, see `start_of`.

    Returns:
        uint64 in the shape of `number`.
    """
    z = number * _GOLDEN_GAMMA + start
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix(numbers: NDArray[np.integer], seed: int) -> NDArray[np.uint64]:
    """Return the sort key of each number under `seed`, uint64 in the shape of `numbers`."""
    return sort_key(numbers.astype(np.uint64), np.uint64(start_of(seed)))


def permutation(num: int, seed: int) -> NDArray[np.int64]:
    """Return the numbers 0 to `num - 1` in a random order, int64 [num]."""
    return np.argsort(mix(np.arange(num, dtype=np.uint64), seed))


def start_of(seed: int) -> int:
    """Return the 64-bit number at which SplitMix64's sequence for `seed` begins.

    Neighbouring seeds begin far apart, so their orders do not resemble each other.
    """
    first = np.ones(1, dtype=np.uint64)  # an array, because numpy warns when a scalar overflows
    return int(sort_key(first, np.uint64(seed & _WORD))[0])
