"""Exact fill with two capacities: every item once, within both, near the bounds, whatever the grid's rounding does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import compiled
from oqvl_pack.binpacking import vector_fill as module
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.plan import Plan
from oqvl_pack.binpacking.vector_fill import vector_fill

Bins = list[list[tuple[int, int]]]


def mixture(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Captions of one image, interleaved documents of several, and text: (tokens, images)."""
    rng = np.random.default_rng(seed)
    images = rng.choice(4, num, p=[0.15, 0.6, 0.15, 0.1])
    images[images > 1] += rng.integers(0, 5, int((images > 1).sum()))
    text = np.where(images == 1, rng.lognormal(3.1, 0.7, num), rng.lognormal(5.5, 0.9, num))
    return np.minimum(144 * images + np.ceil(text).astype(int), 4096), images


def check(plan: Plan, lengths: np.ndarray, weights: np.ndarray) -> None:
    assert sorted(plan.indices.tolist()) == list(range(len(lengths)))
    assert np.array_equal(np.add.reduceat(lengths[plan.indices], plan.offsets[:-1]), plan.fill)
    assert np.array_equal(np.add.reduceat(weights[plan.indices], plan.offsets[:-1]), plan.weight)
    assert plan.fill.max() <= plan.capacity
    assert plan.weight.max() <= plan.weight_capacity


@given(
    st.integers(1, 9000).flatmap(
        lambda capacity: st.tuples(
            st.just(capacity),
            st.integers(1, 300).flatmap(
                lambda limit: st.tuples(
                    st.just(limit),
                    st.lists(st.tuples(st.integers(1, capacity), st.integers(0, limit)), min_size=1, max_size=60),
                )
            ),
        )
    )
)
def test_every_item_once_within_both_capacities(case: tuple[int, tuple[int, list[tuple[int, int]]]]) -> None:
    capacity, (limit, items) = case
    lengths, weights = np.asarray(items).T
    check(
        pack(lengths, capacity, weights=weights, weight_capacity=limit, algorithm="exact_fill"),
        lengths,
        weights,
    )


@pytest.mark.parametrize("images", [8, 12, 16, 24])
def test_within_half_a_percent_of_the_bound(images: int) -> None:
    lengths, weights = mixture(20_000)
    plan = pack(lengths, 4096, weights=weights, weight_capacity=images, algorithm="exact_fill")
    check(plan, lengths, weights)
    assert plan.gap <= 0.005
    assert plan.num_bins <= pack(lengths, 4096, weights=weights, weight_capacity=images, algorithm="ffd").num_bins


def test_windows_are_drawn_anew_before_they_are_used_up() -> None:
    # Documents of one to ten images, of nearly as many types as documents: both capacities bind.
    rng = np.random.default_rng(0)
    images = np.minimum(rng.geometric(0.35, 10_000), 10)
    lengths = np.minimum(144 * images + np.maximum(8, np.rint(rng.lognormal(5.5, 0.9, 10_000))), 4096).astype(int)
    plan = pack(lengths, 4096, weights=images, weight_capacity=16, algorithm="exact_fill")
    check(plan, lengths, images)
    assert plan.gap <= 0.003


def test_capacities_beyond_the_grid() -> None:
    lengths, images = mixture(4000)
    work = images * np.random.default_rng(1).integers(90_000, 110_000, len(images))
    plan = pack(lengths * 37, 4096 * 37, weights=work, weight_capacity=1_200_000, algorithm="exact_fill")
    check(plan, lengths * 37, work)
    assert plan.gap <= 0.03


def test_meets_both_bounds_at_once() -> None:
    # Every bin must hold one of each kind: 60 + 30 + 10 long, 1 + 2 + 7 heavy.
    lengths, weights = np.repeat([60, 30, 10], 50), np.repeat([1, 2, 7], 50)
    plan = pack(lengths, 100, weights=weights, weight_capacity=10, algorithm="exact_fill")
    assert plan.num_bins == 50
    assert plan.is_optimal


@pytest.mark.parametrize(("limit", "value"), [("_SEARCH_COST", 1 << 18), ("_MAX_TERMS", 1), ("_WINDOW_TYPES", 1)])
def test_exhausted_search_still_packs_everything(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    lengths, weights = mixture(500)
    monkeypatch.setattr(module, limit, value)
    check(pack(lengths, 4096, weights=weights, weight_capacity=12, algorithm="exact_fill"), lengths, weights)


def test_the_same_packing_without_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, weights = mixture(3000)
    plans = []
    for least in (0, 1 << 60):
        monkeypatch.setattr(compiled, "MIN_COMPILED_ITEMS", least)
        plans.append(pack(lengths, 4096, weights=weights, weight_capacity=12, algorithm="exact_fill"))
    assert np.array_equal(plans[0].indices, plans[1].indices)
    assert np.array_equal(plans[0].offsets, plans[1].offsets)


def direct(lengths: np.ndarray, weights: np.ndarray) -> Histogram:
    types, counts = np.unique(np.stack([lengths, weights], axis=1), axis=0, return_counts=True)
    return Histogram(types[::-1, 0].astype(np.int64), counts[::-1].astype(np.int64), types[::-1, 1].astype(np.int64))


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=1, max_size=40))
def test_a_bin_begins_with_the_largest_type_left(bins_of: Callable[..., Bins], items: list[tuple[int, int]]) -> None:
    histogram = direct(*np.asarray(items).T)
    assert histogram.weights is not None
    shares = np.maximum(histogram.sizes / 30, histogram.weights / 8)
    remaining = histogram.counts.copy()
    for members in bins_of(vector_fill(histogram, 30, 8), histogram):
        largest = max(shares[index] for index in np.flatnonzero(remaining))
        assert max(shares[index] for index, _ in members) == largest
        for index, _ in members:
            remaining[index] -= 1


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=1, max_size=7))
def test_never_fewer_bins_than_the_optimum(optimum: Callable[..., int], items: list[tuple[int, int]]) -> None:
    lengths, weights = np.asarray(items).T
    fewest = optimum(lengths.tolist(), 30, weights=weights.tolist(), weight_capacity=8)
    assert fewest <= vector_fill(direct(lengths, weights), 30, 8).num_bins <= 2 * fewest


def test_a_window_is_the_beginning_of_what_fits() -> None:
    lengths, weights = mixture(3000)
    supply = module._Supply(direct(lengths, weights))
    for room, weight_room in ((4096, 12), (500, 1), (150, 0), (1, 0)):
        fitting = supply.fitting(room, weight_room)
        assert supply.window(room, weight_room).tolist() == fitting[: module._WINDOW_TYPES].tolist()
        assert (supply.lengths[fitting] <= room).all()
        assert (supply.weights[fitting] <= weight_room).all()


def test_types_with_many_items_come_early() -> None:
    histogram = Histogram(np.arange(400, 0, -1), np.where(np.arange(400) < 40, 1000, 1), np.zeros(400, dtype=np.int64))
    drawn = module._Supply(histogram).fitting(400, 0)
    assert (np.flatnonzero(drawn < 40) < 60).mean() > 0.9


def test_taking_keeps_the_totals() -> None:
    supply = module._Supply(Histogram(np.asarray([9, 5]), np.asarray([4, 6]), np.asarray([1, 2])))
    assert (supply.total_length, supply.total_weight) == (66, 16)
    supply.take({0: 1, 1: 2}, repeats=3)
    assert (supply.remaining.tolist(), supply.total_length, supply.total_weight) == ([1, 0], 9, 1)
    assert supply.fitting(9, 2).tolist() == [0]


@pytest.mark.parametrize(("capacity", "num_units", "expected"), [(10, 10, [3, 10]), (10, 5, [2, 5]), (100, 10, [0, 1])])
def test_rescaling_rounds_to_the_nearest(capacity: int, num_units: int, expected: list[int]) -> None:
    assert module._rescale(np.asarray([3, 10]), capacity, num_units).tolist() == expected
