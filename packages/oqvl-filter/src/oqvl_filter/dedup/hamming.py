"""All pairs of 64-bit hashes that differ in few bits, without comparing all pairs.

The bits are cut into d + k blocks. Hashes that differ in at most d bits agree on at least k blocks (pigeonhole), so for
one choice of k blocks they are neighbours when sorted by these blocks (Manku, Jain and Das Sarma, 2007, "Detecting
Near-Duplicates for Web Crawling"). Neighbours are then compared in full, so the result is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

_NUM_BITS = 64
MAX_TABLES = 200
"""Maximum number of orders in which the hashes are sorted; beyond it longer keys cost more than they save."""
_MAX_CANDIDATES = 1 << 22
"""Pairs that are compared at a time."""


def distances(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the number of bits in which two hashes differ, pair by pair."""
    return np.bitwise_count(left ^ right)


def near_pairs(
    left_N: NDArray[np.uint64], right_M: NDArray[np.uint64], max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield arrays of pairs (row of `left_N`, row of `right_M`) that differ in at most `max_distance` bits.

    Every such pair is yielded at least once, in any order.

    Args:
        left_N: Hashes.
        right_M: Hashes; the same array finds pairs within one set, each row paired with itself too.
        max_distance: Maximum number of differing bits.
    """
    for mask in _masks(max_distance, max(len(left_N), len(right_M))):
        # With both sides sorted, consecutive searches stay in the processor's cache.
        order_M, order_N = np.argsort(right_M & mask), np.argsort(left_N & mask)
        keys_M, keys_N = (right_M & mask)[order_M], (left_N & mask)[order_N]
        starts_N = np.searchsorted(keys_M, keys_N, side="left")
        counts_N = np.searchsorted(keys_M, keys_N, side="right") - starts_N
        for rows in _chunks(counts_N):
            counts = counts_N[rows]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            left = order_N[np.repeat(rows, counts)]
            right = order_M[np.repeat(starts_N[rows], counts) + within]
            near = distances(left_N[left], right_M[right]) <= max_distance
            yield left[near], right[near]


def _masks(max_distance: int, count: int) -> list[np.uint64]:
    """Return the bits of each choice of blocks; more hashes get longer keys, so that few agree by chance."""
    num_shared = 1
    while (
        num_shared * _NUM_BITS / (max_distance + num_shared) < math.log2(max(count, 2))
        and math.comb(max_distance + num_shared + 1, num_shared + 1) <= MAX_TABLES
    ):
        num_shared += 1
    num_blocks = max_distance + num_shared
    edges = [_NUM_BITS * block // num_blocks for block in range(num_blocks + 1)]
    blocks = [(1 << stop) - (1 << start) for start, stop in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(blocks, num_shared)]


def _chunks(counts_N: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield runs of rows with about `_MAX_CANDIDATES` candidates together."""
    rows = np.flatnonzero(counts_N)
    if len(rows):
        chunk = np.cumsum(counts_N[rows]) // _MAX_CANDIDATES
        yield from np.split(rows, np.flatnonzero(np.diff(chunk)) + 1)
