"""Exact fill: bins that are full to the last token, found by subset sums over big integers.

Until no item is left: open a bin with the longest remaining item; find which fills the remaining items can reach (a
bounded subset sum whose set of reachable sums is one big integer, bit i for sum i); take the fullest; repeat the same
bin as often as the remaining items allow, which uses at least one size up. Sizes with most items left are tried
first, so a common pattern is found after a few shifts and is repeated often: the search takes as long for a billion
items as for a million. The bitset form of subset sum is folklore; splitting multiplicities in powers of two is Martello
and Toth, *Knapsack Problems* (1990), section 3.2.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np

from oqvl_pack.binpacking.best_fit import best_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement, append_packing

MAX_CAPACITY = 1 << 24
"""Capacity up to which the search is worth its bits."""

_MAX_TERMS = 4096  # of one subset sum: bounds its memory to that many big integers
_SEARCH_COST = 1 << 32  # in all, about two seconds, after which best-fit decreasing packs what is left
_SIZE_COST = 512  # of looking at a size, in bits that could be shifted meanwhile
_TERM_COST = 2048  # of a term, beside the bits that it shifts


def exact_fill(histogram: Histogram, capacity: int) -> Packing:
    """Pack `histogram` into bins that are as full as can be, one after another.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: What a bin holds at most.
    """
    sizes, counts = histogram.sizes.tolist(), histogram.counts.tolist()
    index_of = {size: index for index, size in enumerate(sizes)}
    remaining = dict(zip(sizes, counts, strict=True))
    by_count = sorted((-count, -size) for size, count in remaining.items())
    placements: list[Placement] = []
    num_bins = 0
    budget = _SEARCH_COST
    largest = iter(sizes)
    seed = next(largest, 0)
    while by_count and budget > 0:
        while seed not in remaining:
            seed = next(largest)
        pattern, cost = _fullest_bin(seed, by_count, capacity)
        budget -= cost
        repeats = min(remaining[size] // per_bin for size, per_bin in pattern.items())
        for size in sorted(pattern, reverse=True):
            index, left = index_of[size], remaining[size]
            placements.append(Placement(num_bins, repeats, index, pattern[size], counts[index] - left))
            del by_count[bisect_left(by_count, (-left, -size))]
            left -= repeats * pattern[size]
            if left:
                remaining[size] = left
                insort(by_count, (-left, -size))
            else:
                del remaining[size]
        num_bins += repeats
    counts_left = np.asarray([remaining.get(size, 0) for size in sizes], dtype=np.int64)
    left = np.flatnonzero(counts_left)
    rest = best_fit_decreasing(histogram.part(left, counts_left[left]), capacity)
    return append_packing(placements, num_bins, rest, left, (histogram.counts - counts_left)[left])


def _fullest_bin(seed: int, by_count: Sequence[tuple[int, int]], capacity: int) -> tuple[dict[int, int], int]:
    """Fill one bin that holds an item of size `seed` with items of `by_count` ((-count, -size), the seed included).

    Returns:
        The bin as {size: items}, and what the search cost (see `_SEARCH_COST`).
    """
    target = capacity - seed
    within = (1 << (target + 1)) - 1
    reachable = 1  # bit i: some choice of the terms so far adds up to i
    terms: list[tuple[int, int, int]] = []  # size, items, and what was reachable before the term
    cost = 0
    for minus_count, minus_size in by_count:
        cost += _SIZE_COST
        size = -minus_size
        if size > target:
            continue
        available = min(-minus_count - (size == seed), target // size)
        items = 1
        while available > 0:
            items = min(items, available)
            terms.append((size, items, reachable))
            reachable |= (reachable << (items * size)) & within
            available -= items
            items *= 2
        if reachable >> target or len(terms) >= _MAX_TERMS:
            break
    fill = reachable.bit_length() - 1
    pattern = {seed: 1}
    for size, items, before in reversed(terms):
        if not before >> fill & 1:
            pattern[size] = pattern.get(size, 0) + items
            fill -= items * size
    return pattern, cost + len(terms) * (_TERM_COST + target)
