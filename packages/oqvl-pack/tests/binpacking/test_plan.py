"""Plans: random access equals the lists, shuffles are permutations that depend on the seed alone."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.plan import Plan
from oqvl_pack.binpacking.shuffle import permutation
from oqvl_shards.errors import ConfigError, DataError

LENGTHS = np.random.default_rng(0).integers(1, 300, 3000)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.none() | st.integers(0, 1 << 70))
def test_random_access_equals_the_lists(lengths: list[int], seed: int | None) -> None:
    plan = pack(lengths, 50)
    plan = plan if seed is None else plan.shuffled(seed)
    single = [plan[index].tolist() for index in range(len(plan))]
    assert single == [items.tolist() for items in plan]
    assert single == [
        plan.indices[begin:end].tolist() for begin, end in zip(plan.offsets[:-1], plan.offsets[1:], strict=True)
    ]


def test_indices_from_the_end_and_out_of_range() -> None:
    plan = pack(LENGTHS, 1000)
    assert np.array_equal(plan[-1], plan[len(plan) - 1])
    for index in (len(plan), -len(plan) - 1):
        with pytest.raises(IndexError, match=f"bin {index} of a plan with {len(plan)} bins"):
            plan[index]


def test_shuffle_keeps_the_bins() -> None:
    plan = pack(LENGTHS, 1000)
    shuffled = plan.shuffled(7)
    assert sorted(sorted(items.tolist()) for items in plan) == sorted(sorted(items.tolist()) for items in shuffled)
    assert [set(items) for items in plan] != [set(items) for items in shuffled]
    assert not any(np.array_equal(np.sort(items), items) for items in shuffled if len(items) > 6)
    assert np.array_equal(shuffled.indices, plan.shuffled(7).indices)
    assert not np.array_equal(shuffled.indices, plan.shuffled(8).indices)


def test_shuffle_takes_the_order_by_length_away() -> None:
    lengths = np.minimum(144 + np.ceil(np.random.default_rng(1).lognormal(3.1, 0.7, 20_000)).astype(int), 4096)
    plan = pack(lengths, 4096)
    by_algorithm = np.corrcoef(np.arange(plan.num_items), lengths[plan.indices])[0, 1]
    shuffled = np.corrcoef(np.arange(plan.num_items), lengths[plan.shuffled(0).indices])[0, 1]
    assert abs(shuffled) < 0.03 < abs(by_algorithm)


def test_figures() -> None:
    plan = pack([6, 4, 5, 5, 3], 10)
    assert (plan.num_bins, plan.num_items, plan.num_tokens) == (3, 5, 23)
    assert plan.utilization == pytest.approx(23 / 30)
    assert plan.is_optimal
    assert (plan.gap, plan.weight.tolist(), plan.weight_capacity) == (0.0, [0, 0, 0], 0)


def test_gap_to_the_bound() -> None:
    plan = pack([6, 5, 5, 4], 10, algorithm="next_fit")
    assert (plan.num_bins, plan.lower_bound, plan.gap) == (3, 2, 0.5)


def test_weights_follow_the_order_of_bins() -> None:
    weights = LENGTHS % 7
    plan = pack(LENGTHS, 1000, weights=weights, weight_capacity=30, algorithm="ffd").shuffled(5)
    assert plan.weight.tolist() == plan.sums(weights).tolist() == [int(weights[items].sum()) for items in plan]


def test_a_slice_is_a_list_of_bins() -> None:
    plan = pack(LENGTHS, 1000).shuffled(1)
    assert [items.tolist() for items in plan[1:5:2]] == [plan[1].tolist(), plan[3].tolist()]
    assert [items.tolist() for items in plan[-1:]] == [plan[np.int64(-1)].tolist()]
    place: Any = 0.5
    with pytest.raises(TypeError, match="float"):
        plan[place]


def test_numbers_that_do_not_belong_to_the_items() -> None:
    plan = pack([6, 4, 15, 5], 10, overlong="drop")
    assert plan.sums([6, 4, 15, 5]).tolist() == plan.fill.tolist()
    for values in ([6, 4, 5], [6, 4, 15, 5, 1], 3):
        with pytest.raises(DataError, match="one row for each of 4 items"):
            plan.sums(values)
    with pytest.raises(DataError, match="one row for each of 5 items and pieces"):
        pack([6, 4, 15, 5], 10, overlong="split").sums([6, 4, 15, 5])


@pytest.mark.parametrize("seed", [1.5, None])
def test_a_seed_is_an_integer(seed: Any) -> None:
    plan = pack(LENGTHS, 1000)
    assert plan.shuffled(np.int32(7)).indices.tolist() == plan.shuffled(7).indices.tolist()
    with pytest.raises(ConfigError, match="seed is"):
        plan.shuffled(seed)


@given(st.lists(st.integers(1, 50), max_size=80), st.none() | st.integers(0, 99), st.integers(0, 99))
def test_any_order_and_back(lengths: list[int], seed: int | None, other: int) -> None:
    plan = pack(lengths, 60)
    plan = plan if seed is None else plan.shuffled(seed)
    order = permutation(plan.num_bins, other)
    moved = plan.reordered(order)
    assert [moved[index].tolist() for index in range(len(moved))] == [plan[index].tolist() for index in order]
    assert moved.fill.tolist() == plan.fill[order].tolist()
    back = moved.reordered(np.argsort(order))
    assert [items.tolist() for items in back] == [items.tolist() for items in plan]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=80),
    st.tuples(*[st.none() | st.integers(-9, 9)] * 2, st.none() | st.integers(1, 3) | st.integers(-3, -1)),
)
def test_slices_are_those_of_a_list(lengths: list[int], bounds: tuple[int | None, int | None, int | None]) -> None:
    plan = pack(lengths, 60).shuffled(1)
    bins = [items.tolist() for items in plan]
    assert [items.tolist() for items in plan[slice(*bounds)]] == bins[slice(*bounds)]
    assert len(bins) == len(plan)
    assert bins == [items.tolist() for items in reversed(list(reversed(plan)))]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-5, 5)), min_size=1, max_size=60), st.integers(0, 9))
def test_sums_against_a_loop(items: list[tuple[int, int]], seed: int) -> None:
    table = np.asarray(items)
    plan = pack(table[:, 0], 60).shuffled(seed)
    assert plan.sums(table).tolist() == [table[ids].sum(axis=0).tolist() for ids in plan]
    assert plan.sums(table[:, 0]).tolist() == plan.fill.tolist()
    assert plan.sums(table.astype(np.float32)).dtype == np.float32


def test_the_lists_are_made_once() -> None:
    plan: Plan = pack(LENGTHS, 1000)
    assert isinstance(plan, Plan)
    assert plan.indices is plan.indices
    assert plan.offsets is plan.offsets


def test_reordering_replaces_a_shuffle_of_bins_and_keeps_that_of_items() -> None:
    plan = pack(LENGTHS, 1000).shuffled(3)
    moved = plan.reordered(np.arange(len(plan))[::-1])
    assert moved[0].tolist() == plan[-1].tolist()
    assert moved.shuffled(3).indices.tolist() == plan.indices.tolist()


@pytest.mark.parametrize(("order", "num_bins"), [([], 0), ([0], 1)])
def test_the_smallest_orders(order: list[int], num_bins: int) -> None:
    plan = pack([5] * num_bins, 10)
    assert len(plan.reordered(order)) == num_bins
    assert plan.balanced(np.zeros(num_bins), num_ranks=4).num_bins == num_bins


def test_a_plan_comes_back_from_json_arrays_and_pickle(tmp_path: Path) -> None:
    plan = pack(LENGTHS, 1000, weights=LENGTHS % 5, weight_capacity=20).shuffled(3)
    pickled = pickle.dumps(plan)  # before its lists are made
    bins = [items.tolist() for items in plan]
    columns = json.loads(json.dumps({"indices": plan.indices.tolist(), "offsets": plan.offsets.tolist()}))
    assert [columns["indices"][begin:end] for begin, end in itertools.pairwise(columns["offsets"])] == bins
    np.savez(tmp_path / "plan.npz", allow_pickle=False, indices=plan.indices, offsets=plan.offsets)
    with np.load(tmp_path / "plan.npz", allow_pickle=False) as file:
        assert [items.tolist() for items in np.split(file["indices"], file["offsets"][1:-1])] == bins
    for data in (pickled, pickle.dumps(plan)):
        again = pickle.loads(data)
        assert [items.tolist() for items in again] == [again[index].tolist() for index in range(len(again))] == bins
        assert (again.fill.tolist(), again.weight.tolist()) == (plan.fill.tolist(), plan.weight.tolist())
        assert (again.lower_bounds, again.algorithm, again.gap) == (plan.lower_bounds, plan.algorithm, plan.gap)
        assert again.shuffled(4)[7].tolist() == plan.shuffled(4)[7].tolist()


def test_a_split_plan_comes_back_from_pickle() -> None:
    plan = pack([3, 25, 7, 40], 10, overlong="split").shuffled(1)
    again = pickle.loads(pickle.dumps(plan))
    assert [again.spans(index) for index in range(len(again))] == [plan.spans(index) for index in range(len(plan))]
