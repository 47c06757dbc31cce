"""The search for a packing: one algorithm, or several until one meets the lower bound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oqvl_pack.binpacking.algorithm import Algorithm
from oqvl_pack.binpacking.best_fit import best_fit_decreasing
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY, exact_fill
from oqvl_pack.binpacking.first_fit import first_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing
from oqvl_pack.binpacking.vector_fill import vector_fill

_MAX_FIRST_FIT_SIZES = 4096  # up to which "best" tries what is quadratic in them and seldom wins


def search(
    histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int, weight_capacity: int, lower_bound: int
) -> tuple[Algorithm, Packing]:
    """Return the packing with the fewest bins, and the algorithm that found it; stop at `lower_bound`."""
    best: tuple[Algorithm, Packing] | None = None
    candidates = _candidates if histogram.weights is None else _weighted_candidates
    for name, packing in candidates(histogram, capacity, algorithm, max_items, weight_capacity):
        if best is None or packing.num_bins < best[1].num_bins:
            best = name, packing
        if packing.num_bins == lower_bound:
            break
    assert best is not None
    return best


def _candidates(
    histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int, _weight_capacity: int
) -> Iterator[tuple[Algorithm, Packing]]:
    if algorithm in ("bfd", "best"):
        yield "bfd", best_fit_decreasing(histogram, capacity, max_items)
    if algorithm == "exact_fill" or (algorithm == "best" and not max_items and capacity <= MAX_CAPACITY):
        yield "exact_fill", exact_fill(histogram, capacity)
    if algorithm == "ffd" or (algorithm == "best" and len(histogram.sizes) <= _MAX_FIRST_FIT_SIZES):
        yield "ffd", first_fit_decreasing(histogram, capacity, max_items)


def _weighted_candidates(
    histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int, weight_capacity: int
) -> Iterator[tuple[Algorithm, Packing]]:
    """First-fit decreasing by length is always among them, so that nothing is worse than the textbook's."""
    assert histogram.weights is not None
    if algorithm != "exact_fill":
        yield "ffd", first_fit_decreasing(histogram, capacity, max_items, weight_capacity)
    if algorithm == "exact_fill" or (algorithm == "best" and not max_items):
        yield "exact_fill", vector_fill(histogram, capacity, weight_capacity)
    if algorithm == "best" and len(histogram.sizes) <= _MAX_FIRST_FIT_SIZES:
        # The largest first in other senses: Panigrahy et al., *Heuristics for vector bin packing* (2011), section 2.
        shares, weight_shares = histogram.sizes / capacity, histogram.weights / weight_capacity
        for share in (np.maximum(shares, weight_shares), shares + weight_shares):
            order = np.argsort(-share, kind="stable")
            yield "ffd", first_fit_decreasing(histogram, capacity, max_items, weight_capacity, order)
