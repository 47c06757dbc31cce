"""Runs: placements cut into ranges of equal bins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement, Runs, append_packing


def test_placements_are_cut_where_another_begins_or_ends() -> None:
    histogram = Histogram(np.asarray([6, 2]), np.asarray([4, 5]))
    # Four bins take one item of 6; bins 1 and 2 take two items of 2 each, bin 3 takes one.
    placements = [Placement(0, 4, 0, 1, 0), Placement(1, 2, 1, 2, 0), Placement(3, 1, 1, 1, 4)]
    runs = Runs.from_packing(Packing(placements, 4), histogram)
    assert runs.num_bins == 4
    assert runs.first_bins.tolist() == [0, 1, 3, 4]
    assert runs.entry_offsets.tolist() == [0, 1, 3, 5]
    assert runs.fill.tolist() == [6, 10, 8]
    assert runs.num_items.tolist() == [1, 3, 2]
    # The items of 6 have the positions 5 to 8, those of 2 the positions 0 to 4.
    positions = [
        [
            position
            for entry in range(runs.entry_offsets[run], runs.entry_offsets[run + 1])
            for position in range(
                runs.entry_base[entry] + index * runs.entry_per_bin[entry],
                runs.entry_base[entry] + (index + 1) * runs.entry_per_bin[entry],
            )
        ]
        for index, run in enumerate([0, 1, 1, 2])
    ]
    assert positions == [[5], [6, 0, 1], [7, 2, 3], [8, 4]]


def test_no_placements() -> None:
    runs = Runs.from_packing(Packing([], 0), Histogram(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)))
    assert (runs.num_bins, len(runs.fill)) == (0, 0)


def test_consecutive_items() -> None:
    runs = Runs.from_consecutive_items(np.asarray([0, 2, 3]), np.asarray([4, 5, 9]))
    assert runs.fill.tolist() == [9, 9]
    assert runs.entry_base.tolist() == [0, 1]
    assert runs.entry_per_bin.tolist() == [2, 1]


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=12))
def test_runs_hold_the_items_of_their_placements(sizes_of_bins: list[list[int]]) -> None:
    # One placement per item: bin b takes the next items of these sizes.
    sizes = np.asarray([40, 30, 20, 10])
    counts = np.asarray([sum(items.count(index) for items in sizes_of_bins) for index in range(4)])
    used = [0] * 4
    placements = []
    for number, items in enumerate(sizes_of_bins):
        for index in items:
            placements.append(Placement(number, 1, index, 1, used[index]))
            used[index] += 1
    histogram = Histogram(sizes[counts > 0], counts[counts > 0])
    renumbered = np.cumsum(counts > 0) - 1
    placements = [one._replace(size_index=int(renumbered[one.size_index])) for one in placements]
    runs = Runs.from_packing(Packing(placements, len(sizes_of_bins)), histogram)
    lengths = np.repeat(histogram.sizes[::-1], histogram.counts[::-1])  # by position
    run_of_bin = np.repeat(np.arange(len(runs.fill)), runs.bins_per_run)
    for number, items in enumerate(sizes_of_bins):
        run = run_of_bin[number]
        positions = [
            int(runs.entry_base[entry] + number * runs.entry_per_bin[entry] + item)
            for entry in range(runs.entry_offsets[run], runs.entry_offsets[run + 1])
            for item in range(runs.entry_per_bin[entry])
        ]
        assert lengths[positions].tolist() == [int(sizes[index]) for index in items]
        assert (runs.fill[run], runs.num_items[run]) == (sum(sizes[items]), len(items))


def test_weights_of_runs() -> None:
    histogram = Histogram(np.asarray([6, 2]), np.asarray([2, 4]), np.asarray([3, 1]))
    runs = Runs.from_packing(Packing([Placement(0, 2, 0, 1, 0), Placement(0, 2, 1, 2, 0)], 2), histogram)
    assert runs.weight is not None
    assert (runs.fill.tolist(), runs.weight.tolist()) == ([10], [5])
    consecutive = Runs.from_consecutive_items(np.asarray([0, 1, 3]), np.asarray([6, 2, 2]), np.asarray([3, 1, 0]))
    assert consecutive.weight is not None
    assert consecutive.weight.tolist() == [3, 1]
    none = Runs.from_consecutive_items(np.asarray([0]), np.asarray([], dtype=np.int64))
    assert (none.num_bins, none.fill.tolist()) == (0, [])


def test_a_packing_of_the_rest_follows() -> None:
    # Of the sizes 9, 5 and 2 the first packing used one item of 5; the rest knows 5 and 2 as sizes 0 and 1.
    first = [Placement(0, 1, 0, 1, 0), Placement(0, 1, 1, 1, 0)]
    rest = Packing([Placement(0, 2, 0, 1, 0), Placement(1, 1, 1, 3, 0)], 2)
    joined = append_packing(first, 1, rest, np.asarray([1, 2]), np.asarray([1, 0]))
    assert joined.num_bins == 3
    assert joined.placements == [*first, Placement(1, 2, 1, 1, 1), Placement(2, 1, 2, 3, 0)]
