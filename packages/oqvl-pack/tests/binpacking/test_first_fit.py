"""First-fit decreasing over counts and next-fit against the item-wise algorithms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.first_fit import first_fit_decreasing, next_fit_starts
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.placement import Packing

Bins = list[list[tuple[int, int]]]


def textbook_first_fit_decreasing(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        for index, space in enumerate(free):
            if space >= lengths[item] and (not max_items or len(bins[index]) < max_items):
                break
        else:
            index = len(bins)
            bins.append([])
            free.append(capacity)
        bins[index].append(item)
        free[index] -= lengths[item]
    return bins


def textbook_next_fit(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free = 0
    for item, length in enumerate(lengths):
        if length > free or (max_items and len(bins[-1]) == max_items):
            bins.append([])
            free = capacity
        bins[-1].append(item)
        free -= length
    return bins


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="ffd", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_first_fit_decreasing(lengths, capacity, max_items)


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_next_fit_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="next_fit", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_next_fit(lengths, capacity, max_items)


def test_same_bins_as_the_textbook_on_captions() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 2000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="ffd")
    assert [bin_.tolist() for bin_ in plan] == textbook_first_fit_decreasing(lengths.tolist(), 4096, 0)


def test_first_bin_wins_over_the_fullest() -> None:
    # Bins [7] and [6, 2] have 3 and 2 tokens free when the item of 2 tokens comes.
    assert [bin_.tolist() for bin_ in pack([7, 6, 2, 2], 10, algorithm="ffd")] == [[0, 2], [1, 3]]
    assert [bin_.tolist() for bin_ in pack([6, 8, 2], 10, algorithm="ffd")] == [[1, 2], [0]]


tiny = st.integers(1, 30).flatmap(
    lambda capacity: st.tuples(st.just(capacity), st.lists(st.integers(1, capacity), min_size=1, max_size=7))
)


@given(tiny)
def test_within_eleven_ninths_of_the_optimum(
    optimum: Callable[..., int], histogram_of: Callable[..., Histogram], case: tuple[int, list[int]]
) -> None:
    # Dosa, *The tight bound of first fit decreasing bin-packing algorithm* (2007).
    capacity, lengths = case
    num_bins = first_fit_decreasing(histogram_of(lengths), capacity).num_bins
    assert optimum(lengths, capacity) <= num_bins <= (11 * optimum(lengths, capacity) + 6) / 9


@given(tiny)
def test_next_fit_needs_less_than_twice_the_optimum(optimum: Callable[..., int], case: tuple[int, list[int]]) -> None:
    capacity, lengths = case
    num_bins = len(next_fit_starts(np.asarray(lengths), capacity)) - 1
    assert optimum(lengths, capacity) <= num_bins < 2 * optimum(lengths, capacity) + 1


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), min_size=1, max_size=40),
    st.permutations(range(8)),
    st.integers(0, 4),
)
def test_any_order_of_the_types(
    bins_of: Callable[..., Bins],
    histogram_of: Callable[..., Histogram],
    items: list[tuple[int, int]],
    ranking: list[int],
    max_items: int,
) -> None:
    histogram = histogram_of([length for length, _ in items], [weight for _, weight in items])
    assert histogram.weights is not None
    num_types = len(histogram.sizes)
    order = np.argsort([ranking[index % 8] for index in range(num_types)], kind="stable")
    packing = first_fit_decreasing(histogram, 20, max_items=max_items, weight_capacity=6, order=order)
    # The same, item by item.
    bins: list[tuple[list[tuple[int, int]], int, int]] = []
    for index in order.tolist():
        size, weight = int(histogram.sizes[index]), int(histogram.weights[index])
        for rank in range(int(histogram.counts[index])):
            for number, (members, room, weight_room) in enumerate(bins):
                if size <= room and weight <= weight_room and not (max_items and len(members) == max_items):
                    bins[number] = [*members, (index, rank)], room - size, weight_room - weight
                    break
            else:
                bins.append(([(index, rank)], 20 - size, 6 - weight))
    assert bins_of(packing, histogram) == [members for members, _, _ in bins]


def test_many_sizes_and_runs_outgrow_the_first_table() -> None:
    # Each of 150 sizes above half the bin opens a run of its own; 150 small sizes then walk and split these runs.
    large = [501 + 3 * i for i in range(150) for _ in range(3)]
    small = [1 + 3 * i for i in range(150) for _ in range(2)]
    plan = pack(large + small, 1000, algorithm="ffd")
    assert [items.tolist() for items in plan] == textbook_first_fit_decreasing(large + small, 1000, 0)


def test_runs_that_are_full_are_forgotten_and_nothing_else() -> None:
    # Seventeen sizes, so full runs are forgotten once; the last item must still find the first bin.
    lengths = [100, *range(90, 74, -1), 10]
    plan = pack(lengths, 110, algorithm="ffd")
    assert plan[0].tolist() == [0, len(lengths) - 1]


def test_next_fit_starts() -> None:
    lengths = np.asarray([4, 4, 4, 9, 1, 1])
    assert next_fit_starts(lengths, 10).tolist() == [0, 2, 3, 5, 6]
    assert next_fit_starts(lengths, 10, max_items=1).tolist() == [0, 1, 2, 3, 4, 5, 6]
    weights = np.asarray([0, 3, 1, 0, 0, 3])
    assert next_fit_starts(lengths, 100, weights=weights, weight_capacity=3).tolist() == [0, 2, 5, 6]
    assert next_fit_starts(lengths[:0], 10).tolist() == [0]


def test_nothing_to_pack(histogram_of: Callable[..., Histogram]) -> None:
    assert first_fit_decreasing(histogram_of([]), 10) == Packing([], 0)
