"""First-fit decreasing over counts, and next-fit.

Item by item, first-fit decreasing takes the items by descending length (equal lengths by ascending id) and puts each
into the bin opened first that still holds it. Over counts, runs of equal consecutive bins are kept in bin order. Every
size walks them once, each bin takes floor(free / size) items, and at most one run is split.

The trade-off: if every size opens its own runs, the search is quadratic in the number of distinct sizes, and the result
has about as many bins as best-fit decreasing. The algorithm is here because it is the textbook's reference, and because
it accepts a second constraint.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement

_SIZES_PER_PRUNING = 16  # number of sizes after which full runs are forgotten
_ENDLESS = 1 << 62  # number of bins that could still be opened

# Rows of the table of runs: where a run of equal bins begins, how long it is, and what each of its bins can still take.
_FIRST_BIN, _NUM_BINS, _FREE, _SLOTS, _WEIGHT = range(5)
_ROOM = slice(_FREE, _WEIGHT + 1)


def first_fit_decreasing(
    histogram: Histogram,
    capacity: int,
    *,
    max_items: int = 0,
    weight_capacity: int = 0,
    order: NDArray[np.integer] | None = None,
) -> Packing:
    """Pack `histogram` by first-fit decreasing.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: Length that a bin holds.
        max_items: Most items per bin; 0 for no limit.
        weight_capacity: Weight that a bin holds, if the items have weights.
        order: Indices of the sizes in the order in which they are packed; None for the histogram's order.
    """
    weights = np.zeros_like(histogram.sizes) if histogram.weights is None else histogram.weights
    smallest = np.asarray([histogram.sizes.min(), 1, weights.min()]) if len(weights) else np.zeros(3, dtype=np.int64)
    runs = _RunTable(np.asarray([capacity, max_items or histogram.num_items, weight_capacity]))
    placements: list[Placement] = []
    sizes, counts = histogram.sizes.tolist(), histogram.counts.tolist()
    for turn, size_index in enumerate(range(len(sizes)) if order is None else order.tolist()):
        item = np.asarray([sizes[size_index], 1, int(weights[size_index])])
        count = counts[size_index]
        if turn % _SIZES_PER_PRUNING == 0:
            runs.forget_full(smallest)
        # The runs that take this size, in bin order. Each takes at least one item, so `count` runs are enough.
        eligible = runs.with_room_for(item)[:count]
        per_bin = _items_per_bin(runs.table[_ROOM, eligible], item)
        # The rank at which each run begins to take items, if every earlier run is filled.
        ranks = np.concatenate([[0], np.cumsum(per_bin * runs.table[_NUM_BINS, eligible])])
        num_filled = int(np.searchsorted(ranks, count, side="right")) - 1
        filled = eligible[:num_filled]
        placements += map(
            Placement._make,
            zip(
                runs.table[_FIRST_BIN, filled].tolist(),
                runs.table[_NUM_BINS, filled].tolist(),
                [size_index] * num_filled,
                per_bin[:num_filled].tolist(),
                ranks[:num_filled].tolist(),
                strict=True,
            ),
        )
        runs.table[_ROOM, filled] -= np.multiply.outer(item, per_bin[:num_filled])
        # The items of this size that are left go into a part of the next run, or into new bins.
        rank = int(ranks[num_filled])
        if num_filled < len(eligible):
            placements += runs.split(int(eligible[num_filled]), item, size_index, rank, count)
        elif rank < count:
            placements += runs.open(item, size_index, rank, count)
    return Packing(placements, runs.num_bins)


class _RunTable:
    """Runs of equal open bins, in bin order.

    Args:
        empty_room: int64 [3], what an empty bin takes: length, items, weight.
    """

    def __init__(self, empty_room: NDArray[np.int64]) -> None:
        self._empty_room = empty_room
        self._memory = np.zeros((5, 64), dtype=np.int64)
        self._num_runs = 0
        self.num_bins = 0

    @property
    def table(self) -> NDArray[np.int64]:
        """The runs, int64 [5, runs]; a view, so callers may write to it."""
        return self._memory[:, : self._num_runs]

    def with_room_for(self, item: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the runs whose bins take an item of (length, 1, weight), in bin order."""
        free, slots, weight = self.table[_ROOM]
        return np.flatnonzero((free >= item[0]) & (slots > 0) & (weight >= item[2]))

    def forget_full(self, smallest: NDArray[np.int64]) -> None:
        """Forget the runs that cannot take even the smallest length with the smallest weight."""
        kept = self.table[:, self.with_room_for(smallest)]
        self._num_runs = kept.shape[1]
        self.table[:] = kept

    def split(self, column: int, item: NDArray[np.int64], size_index: int, rank: int, count: int) -> list[Placement]:
        """Put the items from `rank` up to `count` into the first bins of one run, and cut the run where they end."""
        run = self.table[:, column].copy()
        placements, pieces = _fill_run(run, item, size_index, rank, count)
        num_used = sum(placement.num_bins for placement in placements)
        if num_used < run[_NUM_BINS]:
            pieces.append([int(run[_FIRST_BIN]) + num_used, int(run[_NUM_BINS]) - num_used, *run[_ROOM].tolist()])
        self._replace(column, pieces)
        return placements

    def open(self, item: NDArray[np.int64], size_index: int, rank: int, count: int) -> list[Placement]:
        """Put the items from `rank` up to `count` into new bins."""
        empty = np.concatenate([[self.num_bins, _ENDLESS], self._empty_room])
        placements, pieces = _fill_run(empty, item, size_index, rank, count)
        self.num_bins += sum(placement.num_bins for placement in placements)
        self._replace(self._num_runs, pieces)
        return placements

    def _replace(self, column: int, pieces: list[list[int]]) -> None:
        """Put `pieces` in the place of the run at `column`, or after the last run."""
        following = self._memory[:, column + 1 : self._num_runs]
        num_runs = column + len(pieces) + following.shape[1]
        if num_runs > self._memory.shape[1]:
            self._memory = np.concatenate([self._memory, np.zeros_like(self._memory)], axis=1)
        if len(pieces) > 1:
            self._memory[:, column + len(pieces) : num_runs] = following.copy()
        self._memory[:, column : column + len(pieces)] = np.asarray(pieces).T
        self._num_runs = num_runs


def _fill_run(
    run: NDArray[np.int64], item: NDArray[np.int64], size_index: int, rank: int, count: int
) -> tuple[list[Placement], list[list[int]]]:
    """Deal the items of one size from `rank` up to `count` to the first bins of `run`.

    Returns:
        At most two placements (bins that take all they can, then one bin that takes the rest), and what becomes of
        these bins as columns of the table of runs.
    """
    placements, pieces = [], []
    first_bin = int(run[_FIRST_BIN])
    per_bin = int(_items_per_bin(run[_ROOM], item))
    num_full, rest = divmod(count - rank, per_bin)
    assert num_full + bool(rest) <= run[_NUM_BINS]
    for num_bins, num_items in ((num_full, per_bin), (1, rest)):
        if num_bins and num_items:
            placements.append(Placement(first_bin, num_bins, size_index, num_items, rank))
            pieces.append([first_bin, num_bins, *(run[_ROOM] - item * num_items).tolist()])
            rank += num_bins * num_items
            first_bin += num_bins
    return placements, pieces


def _items_per_bin(room: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many items of (length, 1, weight) bins with `room`, int64 [3, ...], take."""
    free, slots, weight = room
    per_bin = np.minimum(free // item[0], slots)
    return np.minimum(per_bin, weight // item[2]) if item[2] else per_bin


def next_fit_starts(
    lengths: NDArray[np.integer],
    capacity: int,
    *,
    max_items: int = 0,
    weights: NDArray[np.integer] | None = None,
    weight_capacity: int = 0,
) -> NDArray[np.int64]:
    """Pack items in the given order, opening a bin whenever the next item does not fit into the last one.

    Args:
        lengths: [N], each at most `capacity`.
        capacity: Length that a bin holds.
        max_items: Most items per bin; 0 for no limit.
        weights: [N], each at most `weight_capacity`; None without a second constraint.
        weight_capacity: Weight that a bin holds.

    Returns:
        int64 [bins + 1], the id of each bin's first item, and the number of items.
    """
    num_items = len(lengths)
    # For each item, find where a bin that begins with it would end. The bins are one chain through that table.
    ends = _bin_ends(lengths, capacity)
    if weights is not None:
        ends = np.minimum(ends, _bin_ends(weights, weight_capacity))
    if max_items:
        ends = np.minimum(ends, np.arange(num_items) + max_items)
    starts, end_of = [0], ends.tolist()
    while starts[-1] < num_items:
        starts.append(end_of[starts[-1]])
    return np.asarray(starts, dtype=np.int64)


def _bin_ends(values: NDArray[np.integer], capacity: int) -> NDArray[np.int64]:
    """Return, for each item, the first later item that takes the sum over `capacity`, int64 [N]."""
    ends = np.cumsum(values, dtype=np.int64)
    return np.searchsorted(ends, ends - values.astype(np.int64) + capacity, side="right")
