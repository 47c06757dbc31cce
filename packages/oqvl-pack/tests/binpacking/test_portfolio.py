"""The portfolio with two constraints: never worse than first-fit decreasing in two dimensions, item by item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import portfolio
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.placement import Packing
from oqvl_pack.binpacking.portfolio import search
from oqvl_shards.errors import ConfigError, DataError

items = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 6)), max_size=80)


def first_fit(order: list[int], lengths: list[int], weights: list[int], capacity: int, limit: int) -> list[list[int]]:
    bins: list[tuple[list[int], int, int]] = []
    for item in order:
        for index, (members, room, weight_room) in enumerate(bins):
            if lengths[item] <= room and weights[item] <= weight_room:
                bins[index] = ([*members, item], room - lengths[item], weight_room - weights[item])
                break
        else:
            bins.append(([item], capacity - lengths[item], limit - weights[item]))
    return [members for members, _, _ in bins]


@given(items, st.integers(60, 200), st.integers(6, 20))
def test_first_fit_decreasing_is_the_item_wise_one(pairs: list[tuple[int, int]], capacity: int, limit: int) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    order = sorted(range(len(pairs)), key=lambda item: (-lengths[item], -weights[item], item))
    plan = pack(lengths, capacity, weights=weights, weight_capacity=limit, algorithm="ffd")
    assert [members.tolist() for members in plan] == first_fit(order, lengths, weights, capacity, limit)


@given(items, st.integers(60, 200), st.integers(6, 20))
def test_never_worse_than_first_fit_in_any_order(pairs: list[tuple[int, int]], capacity: int, limit: int) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    best = pack(lengths, capacity, weights=weights, weight_capacity=limit)
    shares = [(length / capacity, weight / limit) for length, weight in pairs]
    for key in (lambda item: (lengths[item], weights[item]), lambda i: max(shares[i]), lambda i: sum(shares[i])):
        order = sorted(range(len(pairs)), key=key, reverse=True)
        assert best.num_bins <= len(first_fit(order, lengths, weights, capacity, limit))
    assert best.lower_bound <= best.num_bins


@given(items, st.integers(60, 200), st.integers(6, 20), st.integers(0, 3))
def test_next_fit_keeps_the_order(pairs: list[tuple[int, int]], capacity: int, limit: int, max_items: int) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    plan = pack(lengths, capacity, weights=weights, weight_capacity=limit, algorithm="next_fit", max_items=max_items)
    expected: list[list[int]] = []
    for item in range(len(pairs)):
        last = [*expected[-1], item] if expected else []
        fits = sum(lengths[i] for i in last) <= capacity and sum(weights[i] for i in last) <= limit
        if last and fits and not (max_items and len(last) > max_items):
            expected[-1].append(item)
        else:
            expected.append([item])
    assert [members.tolist() for members in plan] == expected


@given(items, st.integers(1, 4))
def test_three_limits_at_once(pairs: list[tuple[int, int]], max_items: int) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    plan = pack(lengths, 100, weights=weights, weight_capacity=8, max_items=max_items)
    assert all(len(members) <= max_items for members in plan)
    assert not len(plan) or max(plan.fill) <= 100
    assert not len(plan) or max(plan.weight) <= 8


@given(items)
def test_equal_weights_are_a_limit_on_items(pairs: list[tuple[int, int]]) -> None:
    lengths = [length for length, _ in pairs]
    by_weight = pack(lengths, 100, weights=[3] * len(pairs), weight_capacity=11, algorithm="ffd")
    by_items = pack(lengths, 100, max_items=3, algorithm="ffd")
    assert np.array_equal(by_weight.indices, by_items.indices)
    assert np.array_equal(by_weight.offsets, by_items.offsets)


def test_weights_beyond_one_key() -> None:
    lengths, weights = [3 << 40, 1 << 40, 2 << 40, 5], [1 << 40, 1 << 41, 0, 3]
    plan = pack(lengths, 4 << 40, weights=weights, weight_capacity=3 << 40, algorithm="ffd")
    assert sorted(map(sorted, (members.tolist() for members in plan))) == [[0, 1], [2, 3]]
    assert sorted(plan.weight.tolist()) == [3, 3 << 40]


def test_items_too_heavy_for_a_bin() -> None:
    with pytest.raises(DataError, match=r"item 1 has weight 7, but a bin holds 5 \(2 of 3 items do not fit\)"):
        pack([1, 2, 30], 20, weights=[5, 7, 1], weight_capacity=5)
    plan = pack([1, 2, 30, 4], 20, weights=[5, 7, 1, 0], weight_capacity=5, overlong="drop")
    assert plan.dropped.tolist() == [1, 2]
    assert sorted(plan.indices.tolist()) == [0, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [1]}, "weight_capacity is 0 with weights"),
        ({"weight_capacity": 3}, "weight_capacity is 3 without weights"),
        ({"weights": [1], "weight_capacity": 3, "algorithm": "bfd"}, "bfd"),
        ({"weights": [1], "weight_capacity": 3, "overlong": "split"}, "split"),
    ],
)
def test_arguments_that_cannot_work(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pack([1], 10, **arguments)


def test_weights_that_are_none() -> None:
    with pytest.raises(DataError, match="item 1 has weight -1"):
        pack([1, 2], 10, weights=[0, -1], weight_capacity=3)
    with pytest.raises(DataError, match="found 1 weights for 2 lengths"):
        pack([1, 2], 10, weights=[0], weight_capacity=3)


def item_histogram(lengths: list[int]) -> Histogram:
    sizes, counts = np.unique(lengths, return_counts=True)
    return Histogram(sizes[::-1].astype(np.int64), counts[::-1].astype(np.int64))


def refuse(*_arguments: object, **_keywords: object) -> Packing:
    raise AssertionError("this algorithm must not run")


def test_the_search_stops_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "exact_fill", refuse)
    monkeypatch.setattr(portfolio, "first_fit_decreasing", refuse)
    found = search(item_histogram([6, 4]), 10, "best", lower_bound=1)
    assert (found.algorithm, found.packing.num_bins) == ("bfd", 1)


def test_the_first_of_equals_wins() -> None:
    # A bound of 0 is never met, so all three algorithms run; each needs two bins.
    found = search(item_histogram([6, 5, 4, 3]), 10, "best", lower_bound=0)
    assert (found.algorithm, found.packing.num_bins) == ("bfd", 2)


@pytest.mark.parametrize(
    ("algorithm", "left_out"),
    [
        ("bfd", ["exact_fill", "first_fit_decreasing"]),
        ("ffd", ["best_fit_decreasing", "exact_fill"]),
        ("exact_fill", ["best_fit_decreasing", "first_fit_decreasing"]),
    ],
)
def test_a_named_algorithm_runs_alone(algorithm: Any, left_out: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in left_out:
        monkeypatch.setattr(portfolio, name, refuse)
    assert search(item_histogram([6, 5, 4]), 10, algorithm, lower_bound=0).algorithm == algorithm


def test_what_best_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "exact_fill", refuse)
    assert search(item_histogram([6, 5]), 10, "best", lower_bound=0, max_items=3).packing.num_bins == 2
    assert search(item_histogram([6, 5]), MAX_CAPACITY + 1, "best", lower_bound=0).packing.num_bins == 1
    monkeypatch.undo()
    monkeypatch.setattr(portfolio, "first_fit_decreasing", refuse)
    monkeypatch.setattr(portfolio, "_MAX_FIRST_FIT_SIZES", 1)
    assert search(item_histogram([6, 5, 4]), 10, "best", lower_bound=0).packing.num_bins == 2


@given(items)
def test_weighted_best_is_the_best_of_its_candidates(pairs: list[tuple[int, int]]) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    num_bins = {
        name: pack(lengths, 100, weights=weights, weight_capacity=9, algorithm=name).num_bins
        for name in ("best", "exact_fill", "ffd")
    }
    assert num_bins["best"] <= min(num_bins["exact_fill"], num_bins["ffd"])


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 6)), min_size=1, max_size=7))
def test_never_fewer_bins_than_the_optimum(optimum: Callable[..., int], pairs: list[tuple[int, int]]) -> None:
    lengths, weights = [length for length, _ in pairs], [weight for _, weight in pairs]
    fewest = optimum(lengths, 20, weights=weights, weight_capacity=6)
    for algorithm in ("best", "exact_fill", "ffd", "next_fit"):
        plan = pack(lengths, 20, weights=weights, weight_capacity=6, algorithm=algorithm)
        assert plan.num_bins >= fewest
        assert not plan.is_optimal or plan.num_bins == fewest
