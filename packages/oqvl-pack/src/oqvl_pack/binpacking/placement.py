"""Placements, what a packing algorithm decides, and runs, the compact form in which a plan keeps them.

With the items sorted by length (stable), a placement says: bins `first_bin ... first_bin + num_bins - 1` take
`per_bin` consecutive items each, beginning at rank `rank` of one size. A packing of a billion items is then a few
thousand placements, and the items of any bin follow by arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.histogram import Histogram


class Placement(NamedTuple):
    """Consecutive bins that take equally many items of one size.

    Args:
        first_bin: Index of the first bin, in the order in which bins were opened.
        num_bins: Number of bins.
        size_index: Index of the size in `Histogram.sizes`.
        per_bin: Items that each bin takes.
        rank: Rank of the first bin's first item; the next bin continues at `rank + per_bin`.
    """

    first_bin: int
    num_bins: int
    size_index: int
    per_bin: int
    rank: int


@dataclass(frozen=True)
class Packing:
    """What an algorithm returns: placements in the order in which they were made.

    Args:
        placements: Any number a bin; in a bin, earlier placements come first.
        num_bins: Bins opened.
    """

    placements: Sequence[Placement]
    num_bins: int


@dataclass(frozen=True)
class Runs:
    """Maximal ranges of bins with the same composition. R runs, E entries (one size in one run).

    Bin b of run r takes, for every entry e of the run, the `entry_per_bin[e]` items at the positions from
    `entry_base[e] + b * entry_per_bin[e]` on.

    Args:
        first_bins: int64 [R + 1], where runs begin; the last is the number of bins.
        entry_offsets: int64 [R + 1], where a run's entries begin.
        entry_base: int64 [E].
        entry_per_bin: int64 [E].
        fill: int64 [R], sum of the lengths in each bin of the run.
        num_items: int64 [R], items in each bin of the run.
        weight: int64 [R], sum of the weights in each bin of the run; None without a second constraint.
    """

    first_bins: NDArray[np.int64]
    entry_offsets: NDArray[np.int64]
    entry_base: NDArray[np.int64]
    entry_per_bin: NDArray[np.int64]
    fill: NDArray[np.int64]
    num_items: NDArray[np.int64]
    weight: NDArray[np.int64] | None = None

    @property
    def num_bins(self) -> int:
        """Number of bins."""
        return int(self.first_bins[-1])

    @property
    def bins_per_run(self) -> NDArray[np.int64]:
        """Number of bins of each run, int64 [R]."""
        return np.diff(self.first_bins)

    @classmethod
    def from_packing(cls, packing: Packing, histogram: Histogram) -> Runs:
        """Cut the placements where any of them begins or ends, and group the pieces by run."""
        table = np.asarray(packing.placements, dtype=np.int64).reshape(-1, len(Placement._fields))
        first_bin, num_bins, size_index, per_bin, rank = table.T
        first_bins = np.unique(np.concatenate([[0], first_bin, first_bin + num_bins]))
        first_run = np.searchsorted(first_bins, first_bin)
        num_runs = np.searchsorted(first_bins, first_bin + num_bins) - first_run
        piece = np.repeat(np.arange(len(table)), num_runs)
        run = np.arange(len(piece)) + np.repeat(first_run - np.cumsum(num_runs) + num_runs, num_runs)
        by_run = np.argsort(run, kind="stable")
        run, piece = run[by_run], piece[by_run]
        base = histogram.first_positions[size_index] + rank - first_bin * per_bin
        entry_offsets = np.searchsorted(run, np.arange(len(first_bins)))
        weight = None
        if histogram.weights is not None:
            weight = _sum_by_run((per_bin * histogram.weights[size_index])[piece], entry_offsets)
        return cls(
            first_bins=first_bins,
            entry_offsets=entry_offsets,
            entry_base=base[piece],
            entry_per_bin=per_bin[piece],
            fill=_sum_by_run((per_bin * histogram.sizes[size_index])[piece], entry_offsets),
            num_items=_sum_by_run(per_bin[piece], entry_offsets),
            weight=weight,
        )

    @classmethod
    def from_consecutive_items(
        cls, starts: NDArray[np.int64], lengths: NDArray[np.integer], weights: NDArray[np.integer] | None = None
    ) -> Runs:
        """Make one run a bin, bin b holding the consecutive items from `starts[b]` to `starts[b + 1]`."""
        num_items = np.diff(starts)
        bins = np.arange(len(starts), dtype=np.int64)
        fill = _sum_between(starts, lengths)
        weight = None if weights is None else _sum_between(starts, weights)
        return cls(bins, bins, starts[:-1] - bins[:-1] * num_items, num_items, fill, num_items, weight)


def append_packing(
    placements: Sequence[Placement],
    num_bins: int,
    rest: Packing,
    size_indices: NDArray[np.int64],
    ranks: NDArray[np.int64],
) -> Packing:
    """Let `rest`, a packing of the items that other placements left over, follow them.

    Args:
        placements: The placements so far.
        num_bins: The bins so far.
        rest: Placements into bins of their own, of sizes numbered among those with items left.
        size_indices: int64 [sizes of `rest`], index of each of them in the histogram of all items.
        ranks: int64 [sizes of `rest`], items of each that the placements so far use.
    """
    indices, first_ranks = size_indices.tolist(), ranks.tolist()
    appended = [
        Placement(num_bins + first_bin, bins, indices[size], per_bin, first_ranks[size] + rank)
        for first_bin, bins, size, per_bin, rank in rest.placements
    ]
    return Packing([*placements, *appended], num_bins + rest.num_bins)


def _sum_between(starts: NDArray[np.int64], values: NDArray[np.integer]) -> NDArray[np.int64]:
    if len(starts) == 1:
        return np.zeros(0, dtype=np.int64)
    return np.add.reduceat(values, starts[:-1], dtype=np.int64)


def _sum_by_run(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(np.concatenate([[0], np.cumsum(values)])[offsets])
