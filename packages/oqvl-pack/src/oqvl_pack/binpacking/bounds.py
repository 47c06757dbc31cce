"""Lower bounds on the number of bins that any packing needs."""

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
            (Discrete Applied Mathematics 28, 1990). Items above half the capacity need a bin each, and the volume of
            smaller items that does not fit next to them needs more bins.
        cardinality: The largest ceil(#{length >= s} / floor(capacity / s)) over all sizes s: no bin holds more than
            floor(capacity / s) items of length s or more.
        max_items: ceil(number of items / most items per bin); 0 without such a limit.
        weight_volume: The volume bound of the weights. This bound and the next three are 0 without a second
            constraint.
        weight_martello_toth: L2 of the weights.
        weight_cardinality: The cardinality bound of the weights.
        companions: No two items above half of one capacity share a bin. In the space next to such an item, the other
            capacity can be used at most at the density of the densest items. What cannot be used is added to the
            volume.
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


def lower_bounds(histogram: Histogram, capacity: int, *, max_items: int = 0, weight_capacity: int = 0) -> LowerBounds:
    """Compute all lower bounds in O(K log K) for K distinct sizes.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: Length that a bin holds.
        max_items: Most items per bin; 0 for no limit.
        weight_capacity: Weight that a bin holds, if the items have weights.
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
    """Return a histogram with one entry per distinct size, without size 0."""
    distinct, index = np.unique(sizes, return_inverse=True)
    totals = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(totals, index, counts)
    is_positive = distinct > 0
    return Histogram(distinct[is_positive][::-1], totals[is_positive][::-1])


def _companions(
    sizes: NDArray[np.int64],
    others: NDArray[np.int64],
    counts: NDArray[np.int64],
    capacity: int,
    other_capacity: int,
) -> int:
    """Bound the number of bins by `other_capacity`, minus the part that items above half of `capacity` block.

    Args:
        sizes: int64 [K], measured by `capacity`.
        others: int64 [K], the second measure of each type.
        counts: int64 [K], number of items of each type.
        capacity: Capacity for `sizes`.
        other_capacity: Capacity for `others`.

    Returns:
        The bound; 0 if it says nothing or does not fit into 64 bits.
    """
    has_other = np.flatnonzero(others)
    largest_product = max(capacity * int(others.max(initial=0)), other_capacity * int(counts.sum()))
    if not len(has_other) or sizes[has_other].min() == 0 or largest_product >= MAX_TOTAL:
        return 0
    # The densest type has the most of the other measure per size. Floats find candidates, and fractions decide.
    ratios = sizes[has_other] / others[has_other]
    nearly_densest = has_other[ratios <= ratios.min() * (1 + 1e-12)].tolist()
    densest = max(Fraction(int(others[index]), int(sizes[index])) for index in nearly_densest)
    # Each large item has a bin to itself. Items of the densest type would use the space next to it best.
    large = np.flatnonzero(sizes > capacity // 2)
    usable = others[large] + (capacity - sizes[large]) * densest.numerator // densest.denominator
    unused = other_capacity - np.minimum(other_capacity, usable)
    return _ceil_div(int(others @ counts) + int(unused @ counts[large]), other_capacity)


def _martello_toth(histogram: Histogram, capacity: int) -> int:
    """Return L2, the largest bound over all thresholds a that separate small items from the rest.

    For one threshold a: items longer than capacity - a are alone (no item of length a or more fits next to them);
    items above half the capacity have a bin each; the items from a to half the capacity fill the space that the shared
    bins leave free, and need more bins for the rest of their volume.
    """
    sizes, counts = histogram.sizes, histogram.counts
    num_items = np.concatenate([[0], np.cumsum(counts)])  # of the k largest sizes, k = 0 ... K
    volume = np.concatenate([[0], np.cumsum(sizes * counts)])
    ascending = -sizes

    def num_sizes_above(threshold: np.ndarray | float) -> np.ndarray:
        return np.searchsorted(ascending, -np.asarray(threshold), side="left")

    num_large_sizes = int(num_sizes_above(capacity // 2))
    # The bound changes only where the threshold passes a size of at most half the capacity.
    thresholds = np.concatenate([[0], sizes[num_large_sizes:]])
    num_alone_sizes = num_sizes_above(capacity - thresholds)
    num_shared_bins = num_items[num_large_sizes] - num_items[num_alone_sizes]
    shared_free = num_shared_bins * capacity - (volume[num_large_sizes] - volume[num_alone_sizes])
    small_volume = volume[num_sizes_above(thresholds - 1)] - volume[num_large_sizes]
    num_extra_bins = np.maximum(0, -((shared_free - small_volume) // capacity))
    return int((num_items[num_large_sizes] + num_extra_bins).max())


def _cardinality(histogram: Histogram, capacity: int) -> int:
    if not len(histogram.sizes):
        return 0
    return int((-(-np.cumsum(histogram.counts) // (capacity // histogram.sizes))).max())


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
