"""Cost-balanced order: a permutation, the same for a seed, with equal batches and ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.balance import Imbalance, balanced_order, imbalance
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.shuffle import permutation
from oqvl_shards.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
COSTS = np.stack([RNG.integers(4000, 4097, 3300), RNG.integers(2, 25, 3300)], axis=1)


@given(
    st.integers(0, 90).flatmap(lambda num: st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=num)),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(0, 1 << 70),
)
def test_every_pack_once(costs: list[list[int]], num_ranks: int, packs_per_rank: int, seed: int) -> None:
    table = np.asarray(costs).reshape(-1, 2)
    order = balanced_order(table, num_ranks=num_ranks, packs_per_rank=packs_per_rank, seed=seed)
    again = balanced_order(table.tolist() or table, num_ranks=num_ranks, packs_per_rank=packs_per_rank, seed=seed)
    assert sorted(order.tolist()) == list(range(len(table)))
    assert np.array_equal(order, again)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 4))
def test_imbalance_is_what_it_says(costs: list[int], num_ranks: int, packs_per_rank: int) -> None:
    size = num_ranks * packs_per_rank
    batches = [costs[start : start + size] for start in range(0, len(costs) - size + 1, size)]
    ranks = [[sum(batch[rank::num_ranks]) for rank in range(num_ranks)] for batch in batches]
    waiting = [max(loads) * num_ranks / sum(loads) - 1 if sum(loads) else 0.0 for loads in ranks]
    totals = [sum(batch) for batch in batches]
    found = imbalance(costs, num_ranks=num_ranks, packs_per_rank=packs_per_rank)
    assert found.across_ranks[0] == pytest.approx(sum(waiting) / len(waiting) if waiting else 0.0)
    assert found.across_batches[0] == pytest.approx(max(totals) * len(totals) / sum(totals) - 1 if sum(totals) else 0.0)


@pytest.mark.parametrize(("num_ranks", "packs_per_rank"), [(8, 4), (4, 16), (64, 2)])
def test_vision_work_is_balanced(num_ranks: int, packs_per_rank: int) -> None:
    shape = {"num_ranks": num_ranks, "packs_per_rank": packs_per_rank}
    before = imbalance(COSTS[permutation(len(COSTS), 0)], **shape)
    after = imbalance(COSTS[balanced_order(COSTS, **shape)], **shape)
    assert after.across_ranks[1] < 0.25 * before.across_ranks[1]
    assert after.across_batches[1] < 0.1 * before.across_batches[1]
    assert after.across_ranks[0] < 0.012
    assert after.across_batches[0] < 0.01


def test_packs_computed_at_the_same_time_cost_about_the_same() -> None:
    order = balanced_order(COSTS[:3296], num_ranks=8, packs_per_rank=4)
    turns = COSTS[order, 1].reshape(-1, 8)
    shuffled = COSTS[permutation(3296, 0), 1].reshape(-1, 8)
    assert (turns.max(axis=1) - turns.min(axis=1)).mean() < 0.6 * (shuffled.max(axis=1) - shuffled.min(axis=1)).mean()


def test_batches_are_in_no_order_of_cost() -> None:
    order = balanced_order(COSTS, num_ranks=8, packs_per_rank=4, seed=3)
    assert abs(np.corrcoef(np.arange(len(COSTS)), COSTS[order, 1])[0, 1]) < 0.05
    assert not np.array_equal(order, balanced_order(COSTS, num_ranks=8, packs_per_rank=4, seed=4))


def test_plan_in_balanced_order() -> None:
    images = RNG.integers(0, 4, 2000)
    plan = pack(100 * images + RNG.integers(20, 200, 2000), 1000).shuffled(1)
    costs = np.stack([plan.fill, plan.sums(images)], axis=1)
    balanced = plan.balanced(costs, num_ranks=4, packs_per_rank=4)
    order = balanced_order(costs, num_ranks=4, packs_per_rank=4)
    assert [balanced[index].tolist() for index in range(len(plan))] == [plan[index].tolist() for index in order]
    assert [items.tolist() for items in balanced] == [plan[index].tolist() for index in order]
    assert np.array_equal(balanced.fill, plan.fill[order])
    assert np.array_equal(balanced.sums(images), plan.sums(images)[order])
    assert np.array_equal(balanced.shuffled(1).indices, plan.indices)
    assert np.array_equal(balanced.reordered(np.argsort(order)).indices, plan.indices)


def test_sums_by_bin() -> None:
    plan = pack([6, 4, 5, 5, 3], 10)
    values = np.asarray([1, 2, 4, 8, 16])
    assert plan.sums(values).tolist() == [int(values[items].sum()) for items in plan]
    assert plan.sums(values[:, np.newaxis]).shape == (3, 1)
    assert pack([], 10).sums(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("costs", [[-1.0], [float("nan")], [[1.0, float("inf")]], [[[1.0]]]])
def test_costs_that_are_none(costs: list) -> None:
    with pytest.raises(DataError, match="costs"):
        balanced_order(costs, num_ranks=1)


def test_costs_and_shapes_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="costs are not an array of numbers"):
        balanced_order(["a"], num_ranks=1)
    shapes: list[dict[str, Any]] = [{"num_ranks": 1.5}, {"num_ranks": 1, "seed": 0.5}]
    for shape in shapes:
        with pytest.raises(ConfigError, match="expected an integer"):
            balanced_order([1.0], **shape)
    same = balanced_order(np.arange(9), num_ranks=np.uint8(2), packs_per_rank=np.uint8(2), seed=np.int8(3))
    assert same.tolist() == balanced_order(np.arange(9), num_ranks=2, packs_per_rank=2, seed=3).tolist()


@pytest.mark.parametrize("shape", [{"num_ranks": 0}, {"num_ranks": 1, "packs_per_rank": 0}])
def test_shapes_that_cannot_work(shape: dict) -> None:
    with pytest.raises(ConfigError, match="expected at least 1"):
        balanced_order([1.0], **shape)


def test_orders_that_are_none() -> None:
    plan = pack([6, 4, 5, 5, 3], 10)
    for order in ([0, 1], [0, 1, 1], [0, 1, 3]):
        with pytest.raises(DataError, match="every bin exactly once"):
            plan.reordered(order)
    with pytest.raises(DataError, match=r"shape \(2,\)"):
        plan.balanced([1, 2], num_ranks=1)


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.integers(0, 5))
def test_two_batches_of_two_packs_are_split_as_well_as_possible(costs: list[int], seed: int) -> None:
    order = balanced_order(costs, num_ranks=2, seed=seed)
    totals = [costs[order[0]] + costs[order[1]], costs[order[2]] + costs[order[3]]]
    # Of the three ways to make two pairs, the most expensive with the cheapest is the most equal one.
    ascending = sorted(costs)
    assert abs(totals[0] - totals[1]) == abs(ascending[0] + ascending[3] - ascending[1] - ascending[2])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 4), st.integers(1, 4), st.integers(2, 9))
def test_the_unit_of_a_cost_does_not_matter(costs: list[int], num_ranks: int, packs_per_rank: int, unit: int) -> None:
    shape = {"num_ranks": num_ranks, "packs_per_rank": packs_per_rank}
    scaled = [float(1 << unit) * cost for cost in costs]
    assert balanced_order(scaled, **shape).tolist() == balanced_order(costs, **shape).tolist()
    assert imbalance(scaled, **shape).across_ranks == pytest.approx(imbalance(costs, **shape).across_ranks)


def test_equal_costs_are_equal_whatever_the_order() -> None:
    assert imbalance([7] * 24, num_ranks=4, packs_per_rank=3) == Imbalance((0.0,), (0.0,))
    assert imbalance([0] * 24, num_ranks=4, packs_per_rank=3) == Imbalance((0.0,), (0.0,))


def test_known_imbalance() -> None:
    # Two batches of two ranks with two packs each. Rank 0 takes the packs 0 and 2 of a batch, rank 1 takes 1 and 3.
    costs = [4, 1, 2, 1, 3, 1, 3, 1]
    # Batch 1: 6 and 2, mean 4. Batch 2: 6 and 2, mean 4. Both batches cost 8.
    assert imbalance(costs, num_ranks=2, packs_per_rank=2) == Imbalance((0.5,), (0.0,))
    # A ninth pack begins a batch that is not complete, and is not counted.
    assert imbalance([*costs, 99], num_ranks=2, packs_per_rank=2) == Imbalance((0.5,), (0.0,))


def test_fewer_packs_than_a_batch_are_only_shuffled() -> None:
    order = balanced_order([5, 1, 3], num_ranks=4, seed=2)
    assert order.tolist() == permutation(3, 2).tolist()
    assert imbalance([5, 1, 3], num_ranks=4) == Imbalance((0.0,), (0.0,))


def pairings(packs: tuple[int, ...]) -> Iterator[list[tuple[int, int]]]:
    """Yield every way to put an even number of packs into batches of two."""
    if not packs:
        yield []
        return
    first, *rest = packs
    for partner in rest:
        others = tuple(pack for pack in rest if pack != partner)
        yield from ([(first, partner), *pairs] for pairs in pairings(others))


@given(
    st.integers(1, 4).flatmap(lambda num: st.lists(st.integers(0, 99), min_size=2 * num, max_size=2 * num)),
    st.integers(0, 3),
    st.booleans(),
)
def test_no_pairing_has_a_cheaper_most_expensive_batch(costs: list[int], seed: int, is_one_rank: bool) -> None:
    shape = {"num_ranks": 1, "packs_per_rank": 2} if is_one_rank else {"num_ranks": 2, "packs_per_rank": 1}
    order = balanced_order(costs, **shape, seed=seed)
    totals = np.asarray(costs)[order].reshape(-1, 2).sum(axis=1)
    every = [max(costs[a] + costs[b] for a, b in pairs) for pairs in pairings(tuple(range(len(costs))))]
    assert totals.max() == min(every)
    # The measure agrees: of all pairings, this one has the least imbalance across batches.
    if sum(costs):
        measured = imbalance(np.asarray(costs)[order], **shape).across_batches[0]
        assert measured == pytest.approx(min(every) * len(totals) / sum(costs) - 1)


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_batches_and_ranks_differ_by_less_than_one_pack(
    costs: list[int], num_ranks: int, packs_per_rank: int, seed: int
) -> None:
    batch_size = num_ranks * packs_per_rank
    num_batches = len(costs) // batch_size
    order = balanced_order(costs, num_ranks=num_ranks, packs_per_rank=packs_per_rank, seed=seed)
    dealt = np.asarray(costs)[order[: num_batches * batch_size]].reshape(num_batches, packs_per_rank, num_ranks)
    totals = dealt.sum(axis=(1, 2))
    # A round gives every batch one pack, the most expensive to the cheapest batch, so gaps never add up.
    assert not num_batches or totals.max() - totals.min() <= dealt.max() - dealt.min()
    for batch in dealt:
        ranks = batch.sum(axis=0)
        assert ranks.max() - ranks.min() <= batch.max() - batch.min()
