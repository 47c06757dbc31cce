"""Numbers of bins that no packing can stay below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oqvl_pack.histogram import Histogram


@dataclass(frozen=True)
class LowerBounds:
    """Lower bounds on the number of bins; each holds on its own.

    Args:
        volume: ceil(sum of lengths / capacity).
        martello_toth: L2 of Martello and Toth, *Lower bounds and reduction procedures for the bin packing problem*
            (Discrete Applied Mathematics 28, 1990): items above half the capacity need a bin each, and what the
            smaller ones cannot find beside them needs more.
        cardinality: the largest ceil(#{length >= s} / floor(capacity / s)) over all sizes s: no bin holds more than
            floor(capacity / s) items that are at least s long.
        max_items: ceil(number of items / items a bin may hold), 0 without such a limit.
    """

    volume: int
    martello_toth: int
    cardinality: int
    max_items: int = 0

    @property
    def best(self) -> int:
        """The largest of the bounds."""
        return max(self.volume, self.martello_toth, self.cardinality, self.max_items)


def lower_bounds(histogram: Histogram, capacity: int, max_items: int = 0) -> LowerBounds:
    """Compute all lower bounds for items of `histogram`, none longer than `capacity`, in O(number of sizes log).

    Args:
        histogram: The items.
        capacity: What a bin holds at most, in the unit of the lengths.
        max_items: Items a bin may hold; 0 for any number.
    """
    return LowerBounds(
        volume=_ceil_div(histogram.total, capacity),
        martello_toth=_martello_toth(histogram, capacity),
        cardinality=_cardinality(histogram, capacity),
        max_items=_ceil_div(histogram.num_items, max_items) if max_items else 0,
    )


def _martello_toth(histogram: Histogram, capacity: int) -> int:
    sizes, counts = histogram.sizes, histogram.counts
    num_items = np.concatenate([[0], np.cumsum(counts)])  # over the k largest sizes, k = 0 ... K
    volume = np.concatenate([[0], np.cumsum(sizes * counts)])
    ascending = -sizes

    def num_sizes_above(threshold: np.ndarray | float) -> np.ndarray:
        return np.searchsorted(ascending, -np.asarray(threshold), side="left")

    num_large_sizes = int(num_sizes_above(capacity // 2))
    # L2 changes only where its threshold passes a size of at most half the capacity.
    thresholds = np.concatenate([[0], sizes[num_large_sizes:]])
    alone = num_sizes_above(capacity - thresholds)
    shared_items = num_items[num_large_sizes] - num_items[alone]
    shared_free = shared_items * capacity - (volume[num_large_sizes] - volume[alone])
    small_volume = volume[num_sizes_above(thresholds - 1)] - volume[num_large_sizes]
    extra = np.maximum(0, -((shared_free - small_volume) // capacity))
    return int((num_items[num_large_sizes] + extra).max())


def _cardinality(histogram: Histogram, capacity: int) -> int:
    if not len(histogram.sizes):
        return 0
    return int((-(-np.cumsum(histogram.counts) // (capacity // histogram.sizes))).max())


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
