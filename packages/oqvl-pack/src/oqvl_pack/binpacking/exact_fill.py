"""Exact fill: bins that are full to the last token, found by subset sums over big integers.

Until no item is left:

1. open a bin with the longest remaining item,
2. find which fills the remaining items can reach: a bounded subset sum whose set of reachable sums is one big integer,
   bit i for sum i,
3. take the fullest,
4. repeat the same bin as often as the remaining items allow, which uses up at least one size.

Sizes with the most items left are tried first, so a common pattern is found after a few shifts and repeated often: the
search takes as long for a billion items as for a million. The bitset form of subset sum is folklore. Splitting
multiplicities into powers of two is Martello and Toth, *Knapsack Problems* (1990), section 3.2.

The trade-off: on captions it usually reaches the lower bound, where best-fit decreasing leaves 1.5% of the slots empty,
and takes ten times as long. It is greedy, so its last bins can be emptier than those of best-fit decreasing, and with
many distinct sizes the search stops at a fixed cost and best-fit decreasing packs the rest.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oqvl_pack.binpacking.best_fit import best_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement, append_packing

MAX_CAPACITY = 1 << 24
"""Largest capacity for which the search is worth its memory."""

_MAX_TERMS = 4096  # of one subset sum; each keeps a big integer, so this limits the memory
_SEARCH_COST = 1 << 32  # total cost, about two seconds, after which best-fit decreasing packs the rest
_SIZE_COST = 512  # cost of looking at a size, as the number of bits that can be shifted in the same time
_TERM_COST = 2048  # cost of a term in addition to the bits that it shifts


class _Term(NamedTuple):
    """A number of items of one size that are taken together or not at all.

    Args:
        size: Their length.
        num_items: How many.
        reachable_before: Sums that the terms before this one can make, bit i for sum i.
    """

    size: int
    num_items: int
    reachable_before: int


def exact_fill(histogram: Histogram, capacity: int) -> Packing:
    """Pack `histogram` into bins that are as full as possible, one after another.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: Length that a bin holds.
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
        # Open a bin with the longest remaining item, and fill it.
        while seed not in remaining:
            seed = next(largest)
        pattern, cost = _fullest_bin(seed, by_count, capacity)
        budget -= cost
        # Repeat the bin until one of its sizes runs out.
        repeats = min(remaining[size] // per_bin for size, per_bin in pattern.items())
        for size in sorted(pattern, reverse=True):
            index, num_left = index_of[size], remaining[size]
            placements.append(Placement(num_bins, repeats, index, pattern[size], rank=counts[index] - num_left))
            # Keep the sizes sorted by how many items they have left.
            del by_count[bisect_left(by_count, (-num_left, -size))]
            num_left -= repeats * pattern[size]
            if num_left:
                remaining[size] = num_left
                insort(by_count, (-num_left, -size))
            else:
                del remaining[size]
        num_bins += repeats
    # Pack the items that the search did not reach within its cost.
    counts_left = np.asarray([remaining.get(size, 0) for size in sizes], dtype=np.int64)
    unfinished = np.flatnonzero(counts_left)
    rest = best_fit_decreasing(histogram.restricted_to(unfinished, counts_left[unfinished]), capacity)
    return append_packing(placements, num_bins, rest, unfinished, (histogram.counts - counts_left)[unfinished])


def _fullest_bin(seed: int, by_count: Sequence[tuple[int, int]], capacity: int) -> tuple[dict[int, int], int]:
    """Fill one bin that holds an item of size `seed`.

    Args:
        seed: The length of an item that must be in the bin.
        by_count: (-count, -size) of every remaining size, ascending, the seed's included.
        capacity: Length that a bin holds.

    Returns:
        The bin as {size: number of items}, and the cost of the search (see `_SEARCH_COST`).
    """
    target = capacity - seed
    within = (1 << (target + 1)) - 1
    reachable = 1  # bit i: some of the terms so far add up to i
    terms: list[_Term] = []
    cost = 0
    for minus_count, minus_size in by_count:
        cost += _SIZE_COST
        size = -minus_size
        if size > target:
            continue
        # Split the items of a size into 1, 2, 4, ... and a rest: these terms add up to any number of them.
        available = min(-minus_count - (size == seed), target // size)
        num_items = 1
        while available > 0:
            num_items = min(num_items, available)
            terms.append(_Term(size, num_items, reachable))
            reachable |= (reachable << (num_items * size)) & within
            available -= num_items
            num_items *= 2
        if reachable >> target or len(terms) >= _MAX_TERMS:
            break
    # Walk back from the largest sum: a term is needed if the sum was out of reach before it.
    fill = reachable.bit_length() - 1
    pattern = {seed: 1}
    for term in reversed(terms):
        if not term.reachable_before >> fill & 1:
            pattern[term.size] = pattern.get(term.size, 0) + term.num_items
            fill -= term.num_items * term.size
    return pattern, cost + len(terms) * (_TERM_COST + target)
