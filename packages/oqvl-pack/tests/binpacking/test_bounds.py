"""Lower bounds: never above the optimum, and tight where they are meant to be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack


def smallest_number_of_bins(lengths: list[int], capacity: int, max_items: int) -> int:
    """Try everything (lengths descending, symmetric states merged)."""
    states = {()}
    for length in sorted(lengths, reverse=True):
        grown = set()
        for state in states:
            grown.add(tuple(sorted([*state, (length, 1)])))
            for index, (fill, items) in enumerate(state):
                if fill + length <= capacity and (not max_items or items < max_items):
                    bins = [*state[:index], (fill + length, items + 1), *state[index + 1 :]]
                    grown.add(tuple(sorted(bins)))
        states = grown
    return min(map(len, states))


@given(st.integers(1, 30), st.lists(st.integers(1, 30), max_size=7), st.integers(0, 4))
def test_never_above_the_optimum(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, max_items=max_items)
    assert plan.lower_bound <= smallest_number_of_bins(lengths, capacity, max_items)


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


def smallest_number_of_bins_of_two_capacities(pairs: list[tuple[int, int]], capacity: int, limit: int) -> int:
    states = {()}
    for length, weight in sorted(pairs, reverse=True):
        grown = set()
        for state in states:
            grown.add(tuple(sorted([*state, (length, weight)])))
            for index, (fill, load) in enumerate(state):
                if fill + length <= capacity and load + weight <= limit:
                    grown.add(tuple(sorted([*state[:index], (fill + length, load + weight), *state[index + 1 :]])))
        states = grown
    return min(map(len, states))


@given(
    st.integers(1, 30),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=1, max_size=7),
)
def test_two_capacities_never_above_the_optimum(capacity: int, limit: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(min(length, capacity), min(weight, limit)) for length, weight in pairs]
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    plan = pack(lengths, capacity, weights=weights, weight_capacity=limit)
    assert plan.lower_bound <= smallest_number_of_bins_of_two_capacities(pairs, capacity, limit)
    assert plan.lower_bounds.weight_volume == -(-sum(weights) // limit)
    assert plan.lower_bounds.companions >= 0


def test_long_text_keeps_images_out_of_its_bin() -> None:
    # Beside a text of 900 tokens there is no room for an image of 150, so the texts add ten bins to the images' ten.
    lengths, weights = [900] * 10 + [150] * 40, [0] * 10 + [1] * 40
    plan = pack(lengths, 1000, weights=weights, weight_capacity=4)
    assert (plan.lower_bounds.volume, plan.lower_bounds.weight_volume) == (15, 10)
    assert plan.lower_bounds.companions == plan.num_bins == 20
