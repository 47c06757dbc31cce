"""Runs: placements cut into ranges of equal bins."""

from __future__ import annotations

import numpy as np

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement, Runs


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
