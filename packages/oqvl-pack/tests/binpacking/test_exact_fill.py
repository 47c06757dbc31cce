"""Exact fill: full bins where they exist, and a bounded search."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import exact_fill as module
from oqvl_pack.binpacking.exact_fill import exact_fill
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.packing import pack

Bins = list[list[tuple[int, int]]]


@given(st.integers(1, 40), st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_first_bin_is_the_fullest_that_holds_the_longest_item(capacity: int, lengths: list[int]) -> None:
    lengths = [min(length, capacity) for length in lengths]
    rest = sorted(lengths)[:-1]
    sums = (max(lengths) + sum(chosen) for num in range(len(rest) + 1) for chosen in combinations(rest, num))
    fullest = max(total for total in sums if total <= capacity)
    plan = pack(lengths, capacity, algorithm="exact_fill")
    assert sum(lengths[item] for item in plan[0]) == fullest


def test_fills_captions_to_the_last_token() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 10_000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="exact_fill")
    assert plan.is_optimal
    assert (plan.fill == 4096).mean() > 0.95


@pytest.mark.parametrize("limit", ["_SEARCH_COST", "_MAX_TERMS"])
def test_exhausted_search_still_packs_everything(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 5000)
    monkeypatch.setattr(module, limit, 1 if limit == "_MAX_TERMS" else 1 << 15)
    plan = pack(lengths, 1000, algorithm="exact_fill")
    assert sorted(plan.indices.tolist()) == list(range(5000))
    assert (np.add.reduceat(lengths[plan.indices], plan.offsets[:-1]) <= 1000).all()


def largest_sum(lengths: list[int], room: int) -> int:
    """Return the largest sum of some of the lengths up to `room`, by trying them all."""
    sums = {0}
    for length in lengths:
        sums |= {total + length for total in sums if total + length <= room}
    return max(sums)


@given(st.integers(2, 40), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_every_bin_is_the_fullest_that_the_remaining_items_allow(
    bins_of: Callable[..., Bins], histogram_of: Callable[..., Histogram], capacity: int, lengths: list[int]
) -> None:
    lengths = [min(length, capacity) for length in lengths]
    histogram = histogram_of(lengths)
    remaining = sorted(lengths)
    for items in bins_of(exact_fill(histogram, capacity), histogram):
        sizes = [int(histogram.sizes[index]) for index, _ in items]
        longest = remaining[-1]
        assert max(sizes) == longest
        assert sum(sizes) == longest + largest_sum(remaining[:-1], capacity - longest)
        for size in sizes:
            remaining.remove(size)
    assert not remaining


@given(st.integers(1, 30), st.lists(st.integers(1, 30), min_size=1, max_size=7))
def test_never_fewer_bins_than_the_optimum(
    optimum: Callable[..., int], histogram_of: Callable[..., Histogram], capacity: int, lengths: list[int]
) -> None:
    lengths = [min(length, capacity) for length in lengths]
    assert exact_fill(histogram_of(lengths), capacity).num_bins >= optimum(lengths, capacity)


@pytest.mark.parametrize("seed", range(5))
def test_bins_that_were_cut_up_are_filled_again(seed: int) -> None:
    # Cut 300 full bins into pieces: a packing with 300 bins exists, and small pieces make it easy to find.
    rng = np.random.default_rng(seed)
    lengths = []
    for _ in range(300):
        cuts = np.sort(rng.choice(np.arange(1, 1000), 20, replace=False))
        lengths += np.diff([0, *cuts, 1000]).tolist()
    plan = pack(lengths, 1000, algorithm="exact_fill")
    assert plan.num_bins == plan.lower_bound == 300
    assert (plan.fill == 1000).all()


def test_a_billion_items_are_packed_from_their_counts() -> None:
    packing = exact_fill(Histogram(np.asarray([7, 5, 3]), np.asarray([10**9] * 3)), 15)
    # 7 + 5 + 3 fills a bin to the last token, a billion times.
    assert packing.num_bins == 10**9
    assert sorted(bins.size_index for bins in packing.placements) == [0, 1, 2]


def test_nothing_to_pack(histogram_of: Callable[..., Histogram]) -> None:
    assert exact_fill(histogram_of([]), 10).num_bins == 0
