"""First-fit decreasing over counts, and next-fit.

Item by item, first-fit decreasing takes the items by descending length (equal lengths by ascending id) and puts each
into the bin opened first that still holds it. Over counts, runs of equal consecutive bins are kept in bin order; every
size walks them once, each bin takes floor(free / size) items, and at most one run is split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement

_SIZES_PER_PRUNING = 16  # sizes after which runs that can take nothing more are forgotten


def first_fit_decreasing(
    histogram: Histogram,
    capacity: int,
    max_items: int = 0,
    weight_capacity: int = 0,
    order: NDArray[np.integer] | None = None,
) -> Packing:
    """Pack `histogram` by first-fit decreasing.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: What a bin holds at most.
        max_items: Items a bin holds at most; 0 for any number.
        weight_capacity: Weight that a bin holds at most, when the items have weights.
        order: Indices of the sizes, in the order in which they are packed; None for the histogram's.
    """
    max_items = max_items or histogram.num_items
    weights = np.zeros_like(histogram.sizes) if histogram.weights is None else histogram.weights
    least, least_weight = int(histogram.sizes.min(initial=0)), int(weights.min(initial=0))
    placements: list[Placement] = []
    # Runs in bin order, one column each: first bin, number of bins, free space, free slots, free weight.
    columns = np.zeros((5, 64), dtype=np.int64)  # and room for more
    num_runs = num_bins = 0
    sizes, counts = histogram.sizes.tolist(), histogram.counts.tolist()
    for turn, size_index in enumerate(range(len(sizes)) if order is None else order.tolist()):
        size, count, weight = sizes[size_index], counts[size_index], int(weights[size_index])
        runs = columns[:, :num_runs]
        if turn % _SIZES_PER_PRUNING == 0:
            kept = runs[:, (runs[2] >= least) & (runs[3] > 0) & (runs[4] >= least_weight)]
            num_runs = kept.shape[1]
            runs = columns[:, :num_runs]
            runs[:] = kept
        # Each of them takes one item at least, so no more than `count` matter.
        eligible = np.flatnonzero((runs[2] >= size) & (runs[3] > 0) & (runs[4] >= weight))[:count]
        per_bin = _items_a_bin(runs[2:, eligible], size, weight)
        ranks = np.concatenate([[0], np.cumsum(per_bin * runs[1, eligible])])
        num_filled = int(np.searchsorted(ranks, count, side="right")) - 1  # runs whose every bin takes all it can
        filled = eligible[:num_filled]
        placements += map(
            Placement._make,
            zip(*runs[:2, filled].tolist(), [size_index] * num_filled, per_bin.tolist(), ranks.tolist(), strict=False),
        )
        runs[2:, filled] -= np.multiply.outer([size, 1, weight], per_bin[:num_filled])
        rank = int(ranks[num_filled])
        if num_filled < len(eligible):
            column = int(eligible[num_filled])
            run = runs[:, column]
        elif rank < count:
            column = num_runs
            run = np.asarray([num_bins, 1 << 62, capacity, max_items, weight_capacity])
        else:
            continue
        pieces = []
        first_bin, available = int(run[0]), int(run[1])
        for bins, items in _split(available, int(_items_a_bin(run[2:], size, weight)), count - rank):
            placements.append(Placement(first_bin, bins, size_index, items, rank))
            pieces.append([first_bin, bins, *(run[2:] - np.asarray([size, 1, weight]) * items).tolist()])
            rank += bins * items
            first_bin += bins
            available -= bins
        if column == num_runs:
            num_bins = first_bin
        elif available:
            pieces.append([first_bin, available, *run[2:].tolist()])
        columns, num_runs = _replaced(columns, num_runs, column, pieces)
    return Packing(placements, num_bins)


def _replaced(
    columns: NDArray[np.int64], num_runs: int, column: int, pieces: list[list[int]]
) -> tuple[NDArray[np.int64], int]:
    """Put `pieces` in the place of a run, or behind the last; return the columns, with room, and the number of runs."""
    behind = columns[:, column + 1 : num_runs]
    num_runs = column + len(pieces) + behind.shape[1]
    if num_runs > columns.shape[1]:
        columns = np.concatenate([columns, np.zeros_like(columns)], axis=1)
    if len(pieces) > 1:
        columns[:, column + len(pieces) : num_runs] = behind.copy()
    columns[:, column : column + len(pieces)] = np.asarray(pieces).T
    return columns, num_runs


def _items_a_bin(free: NDArray[np.int64], size: int, weight: int) -> NDArray[np.int64]:
    """Return how many items bins take whose free space, slots and weight are the rows of `free`, int64 [bins]."""
    per_bin = np.minimum(free[0] // size, free[1])
    return np.minimum(per_bin, free[2] // weight) if weight else per_bin


def _split(num_bins: int, per_bin: int, count: int) -> list[tuple[int, int]]:
    """Deal `count` items, `per_bin` a bin, to at most `num_bins` bins: [(bins, items a bin)], the partial bin last."""
    full, rest = divmod(count, per_bin)
    assert full + bool(rest) <= num_bins
    return [(bins, items) for bins, items in ((full, per_bin), (1, rest)) if bins and items]


def next_fit_starts(
    lengths: NDArray[np.integer],
    capacity: int,
    max_items: int = 0,
    weights: NDArray[np.integer] | None = None,
    weight_capacity: int = 0,
) -> NDArray[np.int64]:
    """Pack items in the given order, opening a bin whenever the next item does not fit into the last one.

    Returns:
        int64 [bins + 1], the id of each bin's first item, and the number of items.
    """
    num_items = len(lengths)
    # Where the bin would end that began at item i, for every i at once; the bins are one chain through that table.
    following = _bin_ends(lengths, capacity)
    if weights is not None:
        following = np.minimum(following, _bin_ends(weights, weight_capacity))
    if max_items:
        following = np.minimum(following, np.arange(num_items) + max_items)
    starts, jump = [0], following.tolist()
    while starts[-1] < num_items:
        starts.append(jump[starts[-1]])
    return np.asarray(starts, dtype=np.int64)


def _bin_ends(values: NDArray[np.integer], capacity: int) -> NDArray[np.int64]:
    """Return the first item after each one up to which the values add up to more than `capacity`, int64 [N]."""
    ends = np.cumsum(values, dtype=np.int64)
    return np.searchsorted(ends, ends - values.astype(np.int64) + capacity, side="right")
