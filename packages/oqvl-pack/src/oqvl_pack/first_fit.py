"""First-fit decreasing over counts, and next-fit.

Item by item, first-fit decreasing takes the items by descending length (equal lengths by ascending id) and puts each
into the bin opened first that still holds it. Over counts, runs of equal consecutive bins are kept in bin order; every
size walks them once, each bin takes floor(free / size) items, and at most one run is split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.histogram import Histogram
from oqvl_pack.placement import Packing, Placement


def first_fit_decreasing(histogram: Histogram, capacity: int, max_items: int = 0) -> Packing:
    """Pack `histogram` by first-fit decreasing; the arguments are those of `best_fit_decreasing`."""
    max_items = max_items or histogram.num_items
    placements: list[Placement] = []
    # Runs in bin order, one column each: first bin, number of bins, free space, free slots.
    runs = np.zeros((4, 0), dtype=np.int64)
    num_bins = 0
    for size_index, (size, count) in enumerate(zip(histogram.sizes.tolist(), histogram.counts.tolist(), strict=True)):
        runs = runs[:, (runs[2] >= histogram.sizes[-1]) & (runs[3] > 0)]
        eligible = np.flatnonzero((runs[2] >= size) & (runs[3] > 0))
        per_bin = np.minimum(runs[2, eligible] // size, runs[3, eligible])
        ranks = np.concatenate([[0], np.cumsum(per_bin * runs[1, eligible])])
        num_filled = int(np.searchsorted(ranks, count, side="right")) - 1  # runs whose every bin takes all it can
        filled = eligible[:num_filled]
        placements += map(
            Placement._make,
            zip(*runs[:2, filled].tolist(), [size_index] * num_filled, per_bin.tolist(), ranks.tolist(), strict=False),
        )
        runs[2, filled] -= per_bin[:num_filled] * size
        runs[3, filled] -= per_bin[:num_filled]
        rank = int(ranks[num_filled])
        if num_filled < len(eligible):
            column = int(eligible[num_filled])
            first_bin, available, free, slots = runs[:, column].tolist()
        else:
            column = runs.shape[1]
            first_bin, available, free, slots = num_bins, 1 << 62, capacity, max_items
        pieces = []
        for bins, items in _split(available, min(free // size, slots), count - rank):
            placements.append(Placement(first_bin, bins, size_index, items, rank))
            pieces.append((first_bin, bins, free - items * size, slots - items))
            rank += bins * items
            first_bin += bins
            available -= bins
        if column == runs.shape[1]:
            num_bins = first_bin
        elif available:
            pieces.append((first_bin, available, free, slots))
        table = np.asarray(pieces, dtype=np.int64).reshape(-1, 4).T
        runs = np.concatenate([runs[:, :column], table, runs[:, column + 1 :]], axis=1)
    return Packing(placements, num_bins)


def _split(num_bins: int, per_bin: int, count: int) -> list[tuple[int, int]]:
    """Deal `count` items, `per_bin` a bin, to at most `num_bins` bins: [(bins, items a bin)], the partial bin last."""
    full, rest = divmod(count, per_bin)
    assert full + bool(rest) <= num_bins
    return [(bins, items) for bins, items in ((full, per_bin), (1, rest)) if bins and items]


def next_fit_starts(lengths: NDArray[np.integer], capacity: int, max_items: int = 0) -> NDArray[np.int64]:
    """Pack items in the given order, opening a bin whenever the next item does not fit into the last one.

    Returns:
        int64 [bins + 1], the id of each bin's first item, and the number of items.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    num_items = len(ends)
    # Where the bin would end that began at item i, for every i at once; the bins are one chain through that table.
    following = np.searchsorted(ends, ends - lengths + capacity, side="right")
    if max_items:
        following = np.minimum(following, np.arange(num_items) + max_items)
    starts, jump = [0], following.tolist()
    while starts[-1] < num_items:
        starts.append(jump[starts[-1]])
    return np.asarray(starts, dtype=np.int64)
