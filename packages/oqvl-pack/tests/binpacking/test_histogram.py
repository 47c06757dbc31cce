"""Histograms: what follows from sizes and counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.histogram import Histogram


def test_figures() -> None:
    histogram = Histogram(np.asarray([9, 5, 2]), np.asarray([1, 3, 2]))
    assert (histogram.num_items, histogram.total) == (6, 28)
    # By ascending length: two items of 2, three of 5, one of 9.
    assert histogram.first_positions.tolist() == [5, 2, 0]


@given(st.dictionaries(st.integers(1, 50), st.integers(1, 5), max_size=12))
def test_first_positions_are_places_in_the_sorted_items(count_of: dict[int, int]) -> None:
    sizes = sorted(count_of, reverse=True)
    histogram = Histogram(np.asarray(sizes, dtype=np.int64), np.asarray([count_of[size] for size in sizes], dtype=int))
    items = sorted(size for size in sizes for _ in range(count_of[size]))
    assert histogram.first_positions.tolist() == [items.index(size) for size in sizes]
    assert (histogram.num_items, histogram.total) == (len(items), sum(items))


def test_some_of_the_sizes() -> None:
    histogram = Histogram(np.asarray([9, 5, 2]), np.asarray([1, 3, 2]), np.asarray([4, 0, 7]))
    some = histogram.restricted_to(np.asarray([0, 2]), np.asarray([1, 1]))
    assert some.weights is not None
    assert (some.sizes.tolist(), some.counts.tolist(), some.weights.tolist()) == ([9, 2], [1, 1], [4, 7])
    assert Histogram(histogram.sizes, histogram.counts).restricted_to(np.asarray([1]), np.asarray([2])).weights is None
