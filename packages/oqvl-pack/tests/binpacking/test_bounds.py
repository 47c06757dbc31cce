"""Lower bounds: never above the optimum, and tight where they are meant to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.bounds import lower_bounds
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack


@given(st.integers(1, 30), st.lists(st.integers(1, 30), max_size=7), st.integers(0, 4))
def test_never_above_the_optimum(
    optimum: Callable[..., int], capacity: int, lengths: list[int], max_items: int
) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, max_items=max_items)
    assert plan.lower_bound <= optimum(lengths, capacity, max_items=max_items)


@given(st.integers(1, 30), st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_equal_to_the_definitions(capacity: int, lengths: list[int]) -> None:
    lengths = [min(length, capacity) for length in lengths]
    bounds = pack(lengths, capacity).lower_bounds
    assert bounds.volume == -(-sum(lengths) // capacity)
    counts = [(sum(length > capacity / (k + 1) for length in lengths), k) for k in range(1, capacity + 1)]
    assert bounds.cardinality == max(-(-count // k) for count, k in counts)
    values = []
    for threshold in range(capacity // 2 + 1):
        alone = [length for length in lengths if length > capacity - threshold]
        large = [length for length in lengths if capacity / 2 < length <= capacity - threshold]
        small = [length for length in lengths if threshold <= length <= capacity / 2]
        free = len(large) * capacity - sum(large)
        values.append(len(alone) + len(large) + max(0, -((free - sum(small)) // capacity)))
    assert bounds.martello_toth == max(values)


def test_items_just_over_a_fraction_are_proven_optimal() -> None:
    for parts in (2, 3, 5):
        plan = pack([1000 // parts + 1] * 100, 1000)
        assert plan.lower_bounds.volume < plan.num_bins
        assert plan.is_optimal


def test_large_items_with_fillers_are_proven_optimal() -> None:
    plan = pack([60] * 10 + [45] * 3, 100)
    assert plan.lower_bounds.volume == 8
    assert plan.lower_bounds.martello_toth == plan.num_bins == 12


@given(
    st.integers(1, 30),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=1, max_size=7),
)
def test_two_capacities_never_above_the_optimum(
    optimum: Callable[..., int], capacity: int, limit: int, pairs: list[tuple[int, int]]
) -> None:
    pairs = [(min(length, capacity), min(weight, limit)) for length, weight in pairs]
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    plan = pack(lengths, capacity, weights=weights, weight_capacity=limit)
    assert plan.lower_bound <= optimum(lengths, capacity, weights=weights, weight_capacity=limit)
    assert plan.lower_bounds.weight_volume == -(-sum(weights) // limit)
    assert plan.lower_bounds.companions >= 0


def test_long_text_keeps_images_out_of_its_bin() -> None:
    # Next to a text of 900 tokens there is no room for an image of 150, so the texts add ten bins to the images' ten.
    lengths, weights = [900] * 10 + [150] * 40, [0] * 10 + [1] * 40
    plan = pack(lengths, 1000, weights=weights, weight_capacity=4)
    assert (plan.lower_bounds.volume, plan.lower_bounds.weight_volume) == (15, 10)
    assert plan.lower_bounds.companions == plan.num_bins == 20


@given(
    st.integers(2, 30).flatmap(
        lambda capacity: st.tuples(
            st.just(capacity),
            st.lists(st.tuples(st.integers(1, capacity), st.integers(0, 6)), min_size=1, max_size=7),
        )
    )
)
def test_each_bound_alone_is_never_above_the_optimum(
    optimum: Callable[..., int],
    histogram_of: Callable[..., Histogram],
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    capacity, items = case
    lengths, weights = [length for length, _ in items], [weight for _, weight in items]
    bounds = lower_bounds(histogram_of(lengths, weights), capacity, weight_capacity=6)
    fewest = optimum(lengths, capacity, weights=weights, weight_capacity=6)
    assert all(bound <= fewest for bound in astuple(bounds))
    assert bounds.best == max(astuple(bounds))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.integers(20, 40), st.integers(1, 4))
def test_bound_of_the_number_of_items(
    optimum: Callable[..., int],
    histogram_of: Callable[..., Histogram],
    lengths: list[int],
    capacity: int,
    max_items: int,
) -> None:
    bounds = lower_bounds(histogram_of(lengths), capacity, max_items=max_items)
    assert bounds.max_items == -(-len(lengths) // max_items)
    assert bounds.best <= optimum(lengths, capacity, max_items=max_items)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40), st.integers(20, 60), st.integers(1, 1000))
def test_bounds_do_not_depend_on_the_unit(
    histogram_of: Callable[..., Histogram], lengths: list[int], capacity: int, unit: int
) -> None:
    scaled = lower_bounds(histogram_of([unit * length for length in lengths]), unit * capacity)
    assert scaled == lower_bounds(histogram_of(lengths), capacity)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40), st.integers(20, 60))
def test_a_larger_bin_or_fewer_items_never_raise_a_bound(
    histogram_of: Callable[..., Histogram], lengths: list[int], capacity: int
) -> None:
    bound = lower_bounds(histogram_of(lengths), capacity).best
    assert lower_bounds(histogram_of(lengths), capacity + 1).best <= bound
    assert lower_bounds(histogram_of(lengths[1:]), capacity).best <= bound
    assert lower_bounds(histogram_of([*lengths, 1]), capacity).best >= bound


def test_known_bounds(histogram_of: Callable[..., Histogram]) -> None:
    # Six items just over a third: two per bin, though their volume would fit into two bins and a bit.
    assert astuple(lower_bounds(histogram_of([34] * 6), 100))[:3] == (3, 3, 3)
    # Nine items just over a fifth: four per bin.
    assert lower_bounds(histogram_of([21] * 9), 100).cardinality == 3
    assert lower_bounds(histogram_of([21] * 9), 100).volume == 2
    # Martello and Toth: two items of 70 leave no room for three of 40.
    assert lower_bounds(histogram_of([70, 70, 40, 40, 40]), 100).martello_toth == 4
    assert lower_bounds(histogram_of([]), 100).best == 0


def test_numbers_that_64_bits_do_not_hold_give_no_companions_bound(histogram_of: Callable[..., Histogram]) -> None:
    large = 1 << 40
    bounds = lower_bounds(histogram_of([large] * 3, [large] * 3), large, weight_capacity=large)
    assert (bounds.companions, bounds.best) == (0, 3)
