"""Best-fit decreasing over counts against the item-wise algorithm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.best_fit import best_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.placement import Packing, Placement

Bins = list[list[tuple[int, int]]]


def textbook_best_fit_decreasing(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        fitting = [
            (space, index)
            for index, space in enumerate(free)
            if space >= lengths[item] and (not max_items or len(bins[index]) < max_items)
        ]
        if fitting:
            _, index = min(fitting)
        else:
            index = len(bins)
            bins.append([])
            free.append(capacity)
        bins[index].append(item)
        free[index] -= lengths[item]
    return bins


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="bfd", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths, capacity, max_items)


def test_same_bins_as_the_textbook_on_captions() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 2000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="bfd")
    assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths.tolist(), 4096, 0)


def test_fullest_bin_wins_over_the_first() -> None:
    assert [bin_.tolist() for bin_ in pack([6, 7, 3], 10, algorithm="bfd")] == [[1, 2], [0]]
    assert [bin_.tolist() for bin_ in pack([7, 8, 2], 10, algorithm="bfd")] == [[1, 2], [0]]
    assert [bin_.tolist() for bin_ in pack([6, 6, 4, 4], 10, algorithm="bfd")] == [[0, 2], [1, 3]]


def test_first_bin_wins_among_equals_that_filled_up_in_another_order() -> None:
    # Bin 1 has one token free before bin 0 has.
    assert [bin_.tolist() for bin_ in pack([14, 12, 7, 5, 1], 20, algorithm="bfd")] == [[0, 3, 4], [1, 2]]


def test_same_bins_as_the_textbook_on_many_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        capacity = int(rng.integers(10, 60))
        lengths = rng.integers(1, capacity // 2 + 2, rng.integers(20, 80)).tolist()
        plan = pack(lengths, capacity, algorithm="bfd")
        assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths, capacity, 0)


tiny = st.integers(1, 30).flatmap(
    lambda capacity: st.tuples(st.just(capacity), st.lists(st.integers(1, capacity), min_size=1, max_size=7))
)


@given(tiny)
def test_within_eleven_ninths_of_the_optimum(
    optimum: Callable[..., int], histogram_of: Callable[..., Histogram], case: tuple[int, list[int]]
) -> None:
    # Johnson's bound for best-fit decreasing, with the additive constant of first-fit decreasing (Dosa, 2007).
    capacity, lengths = case
    num_bins = best_fit_decreasing(histogram_of(lengths), capacity).num_bins
    assert optimum(lengths, capacity) <= num_bins <= (11 * optimum(lengths, capacity) + 6) / 9


@given(tiny, st.integers(1, 4))
def test_limit_on_items_is_kept(
    bins_of: Callable[..., Bins], histogram_of: Callable[..., Histogram], case: tuple[int, list[int]], max_items: int
) -> None:
    capacity, lengths = case
    histogram = histogram_of(lengths)
    packing = best_fit_decreasing(histogram, capacity, max_items=max_items)
    for items in bins_of(packing, histogram):
        assert 1 <= len(items) <= max_items
        assert sum(int(histogram.sizes[index]) for index, _ in items) <= capacity


def test_a_billion_items_are_a_few_placements(histogram_of: Callable[..., Histogram]) -> None:
    histogram = Histogram(np.asarray([600, 300, 100]), np.asarray([10**9, 10**9, 10**9 + 7]))
    packing = best_fit_decreasing(histogram, 1000)
    # Every bin takes one item of each size; the seven left over share one more.
    assert packing.num_bins == 10**9 + 1
    assert len(packing.placements) == 4
    assert packing.placements[0] == Placement(first_bin=0, num_bins=10**9, size_index=0, per_bin=1, rank=0)


def test_items_of_half_a_bin_pair_up(histogram_of: Callable[..., Histogram]) -> None:
    packing = best_fit_decreasing(histogram_of([5] * 7), 10)
    assert [(bins.num_bins, bins.per_bin) for bins in packing.placements] == [(3, 2), (1, 1)]


def test_nothing_to_pack(histogram_of: Callable[..., Histogram]) -> None:
    assert best_fit_decreasing(histogram_of([]), 10) == Packing([], 0)
