"""Numbers of bins that no packing can stay below."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.arguments import MAX_TOTAL
from oqvl_pack.binpacking.histogram import Histogram


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
        weight_volume: The volume bound of the weights, 0 without a second constraint, as the others below.
        weight_martello_toth: L2 of the weights.
        weight_cardinality: The cardinality bound of the weights.
        companions: No two items above half of one capacity share a bin, and beside each of them the other capacity can
            be used only as far as the items with the most of it for their size go; what cannot be used is added to
            the volume.
    """

    volume: int
    martello_toth: int
    cardinality: int
    max_items: int = 0
    weight_volume: int = 0
    weight_martello_toth: int = 0
    weight_cardinality: int = 0
    companions: int = 0

    @property
    def best(self) -> int:
        """The largest of the bounds."""
        return max(astuple(self))


def lower_bounds(histogram: Histogram, capacity: int, max_items: int = 0, weight_capacity: int = 0) -> LowerBounds:
    """Compute all lower bounds for items of `histogram`, none longer than `capacity`, in O(number of sizes log).

    Args:
        histogram: The items.
        capacity: What a bin holds at most, in the unit of the lengths.
        max_items: Items a bin may hold; 0 for any number.
        weight_capacity: Weight a bin holds at most, when the items have weights.
    """
    lengths = _merged(histogram.sizes, histogram.counts)
    bounds = LowerBounds(
        volume=_ceil_div(lengths.total, capacity),
        martello_toth=_martello_toth(lengths, capacity),
        cardinality=_cardinality(lengths, capacity),
        max_items=_ceil_div(lengths.num_items, max_items) if max_items else 0,
    )
    if histogram.weights is None:
        return bounds
    weights = _merged(histogram.weights, histogram.counts)
    return replace(
        bounds,
        weight_volume=_ceil_div(weights.total, weight_capacity),
        weight_martello_toth=_martello_toth(weights, weight_capacity),
        weight_cardinality=_cardinality(weights, weight_capacity),
        companions=max(
            _companions(histogram.sizes, histogram.weights, histogram.counts, capacity, weight_capacity),
            _companions(histogram.weights, histogram.sizes, histogram.counts, weight_capacity, capacity),
        ),
    )


def _merged(sizes: NDArray[np.int64], counts: NDArray[np.int64]) -> Histogram:
    """Add up the counts of equal sizes, and leave out those of size 0."""
    distinct, index = np.unique(sizes, return_inverse=True)
    totals = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(totals, index, counts)
    kept = slice(None, None if not len(distinct) or distinct[0] else 0, -1)
    return Histogram(distinct[kept], totals[kept])


def _companions(
    sizes: NDArray[np.int64],
    others: NDArray[np.int64],
    counts: NDArray[np.int64],
    capacity: int,
    other_capacity: int,
) -> int:
    """Bound the bins by `other_capacity`, less what items above half of `capacity` keep from being used."""
    dense = np.flatnonzero(others)
    largest_product = max(capacity * int(others.max(initial=0)), other_capacity * int(counts.sum()))
    if not len(dense) or sizes[dense].min() == 0 or largest_product >= MAX_TOTAL:
        return 0
    ratios = sizes[dense] / others[dense]
    nearly_densest = dense[ratios <= ratios.min() * (1 + 1e-12)].tolist()
    densest = max(Fraction(int(others[index]), int(sizes[index])) for index in nearly_densest)
    large = np.flatnonzero(sizes > capacity // 2)
    beside = (capacity - sizes[large]) * densest.numerator // densest.denominator
    unused = other_capacity - np.minimum(other_capacity, others[large] + beside)
    return _ceil_div(int(others @ counts) + int(unused @ counts[large]), other_capacity)


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
