"""The search for a packing: run one algorithm, or several until one meets the lower bound.

The trade-off of `"best"`: on captions best-fit decreasing costs 3 ms and leaves 1.5% of all slots empty; exact fill
costs ten times as much and usually meets the lower bound. A training run pays for every empty slot, but packing is paid
for only once, so `"best"` tries both. It stops at the first packing that meets the bound, because no other can have
fewer bins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from oqvl_pack.binpacking.algorithm import Algorithm
from oqvl_pack.binpacking.best_fit import best_fit_decreasing
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY, exact_fill
from oqvl_pack.binpacking.first_fit import first_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing
from oqvl_pack.binpacking.vector_fill import vector_fill

_MAX_FIRST_FIT_SIZES = 4096  # above this, "best" leaves out first-fit decreasing, which is quadratic and rarely wins


class Candidate(NamedTuple):
    """A packing, and the algorithm that made it."""

    algorithm: Algorithm
    packing: Packing


def search(
    histogram: Histogram,
    capacity: int,
    algorithm: Algorithm,
    *,
    lower_bound: int,
    max_items: int = 0,
    weight_capacity: int = 0,
) -> Candidate:
    """Return the packing with the fewest bins.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: Length that a bin holds.
        algorithm: Any but `"next_fit"`; see `oqvl_pack.pack`.
        lower_bound: Number of bins at which the search stops, because no packing has fewer.
        max_items: Most items per bin; 0 for no limit.
        weight_capacity: Weight that a bin holds, if the items have weights.
    """
    if histogram.weights is None:
        candidates = _candidates(histogram, capacity, algorithm, max_items)
    else:
        candidates = _weighted_candidates(histogram, capacity, algorithm, max_items, weight_capacity)
    # Each candidate is computed only when the one before has missed the bound.
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or candidate.packing.num_bins < best.packing.num_bins:
            best = candidate
        if best.packing.num_bins == lower_bound:
            break
    assert best is not None
    return best


def _candidates(histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int) -> Iterator[Candidate]:
    """Yield packings under one constraint, the cheapest first."""
    if algorithm in ("bfd", "best"):
        yield Candidate("bfd", best_fit_decreasing(histogram, capacity, max_items=max_items))
    if algorithm == "exact_fill" or (algorithm == "best" and not max_items and capacity <= MAX_CAPACITY):
        yield Candidate("exact_fill", exact_fill(histogram, capacity))
    if algorithm == "ffd" or (algorithm == "best" and len(histogram.sizes) <= _MAX_FIRST_FIT_SIZES):
        yield Candidate("ffd", first_fit_decreasing(histogram, capacity, max_items=max_items))


def _weighted_candidates(
    histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int, weight_capacity: int
) -> Iterator[Candidate]:
    """Yield packings under two constraints.

    First-fit decreasing by length is always among them for `"best"`, so the result is never worse than the textbook's.
    """
    assert histogram.weights is not None
    limits = {"max_items": max_items, "weight_capacity": weight_capacity}
    if algorithm != "exact_fill":
        yield Candidate("ffd", first_fit_decreasing(histogram, capacity, **limits))
    if algorithm == "exact_fill" or (algorithm == "best" and not max_items):
        yield Candidate("exact_fill", vector_fill(histogram, capacity, weight_capacity))
    if algorithm == "best" and len(histogram.sizes) <= _MAX_FIRST_FIT_SIZES:
        # Other meanings of "largest first": Panigrahy et al., *Heuristics for vector bin packing* (2011), section 2.
        shares, weight_shares = histogram.sizes / capacity, histogram.weights / weight_capacity
        for share in (np.maximum(shares, weight_shares), shares + weight_shares):
            by_share = np.argsort(-share, kind="stable")
            yield Candidate("ffd", first_fit_decreasing(histogram, capacity, **limits, order=by_share))
