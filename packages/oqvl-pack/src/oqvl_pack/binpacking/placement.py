"""Placements, which a packing algorithm returns, and runs, the compact form in which a plan keeps them.

Sort the items by length (stable). A placement then says: bins `first_bin` to `first_bin + num_bins - 1` take `per_bin`
consecutive items each, beginning at rank `rank` of one size. A packing of a billion items is a few thousand
placements, and the items of any bin follow by arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.histogram import Histogram


class Placement(NamedTuple):
    """Consecutive bins that take the same number of items of one size.

    Args:
        first_bin: Index of the first bin, in the order in which bins were opened.
        num_bins: Number of bins.
        size_index: Index of the size in `Histogram.sizes`.
        per_bin: Number of items that each bin takes.
        rank: Rank of the first bin's first item; the next bin continues at `rank + per_bin`.
    """

    first_bin: int
    num_bins: int
    size_index: int
    per_bin: int
    rank: int


@dataclass(frozen=True)
class Packing:
    """The result of an algorithm.

    Args:
        placements: In the order in which they were made. A bin may have any number of them; its earlier placements
            come first.
        num_bins: Number of bins opened.
    """

    placements: Sequence[Placement]
    num_bins: int


@dataclass(frozen=True)
class Runs:
    """Maximal ranges of bins with the same composition. R runs, E entries (one size in one run).

    Bin b of run r takes, for every entry e of the run, the `entry_per_bin[e]` items that begin at position
    `entry_base[e] + b * entry_per_bin[e]`.

    Args:
        first_bins: int64 [R + 1], where each run begins; the last number is the number of bins.
        entry_offsets: int64 [R + 1], where each run's entries begin.
        entry_base: int64 [E], the position from which bin 0 would take its items.
        entry_per_bin: int64 [E], number of items that each bin takes.
        fill: int64 [R], sum of the lengths in each bin of the run.
        num_items: int64 [R], number of items in each bin of the run.
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
        """Cut the placements wherever one of them begins or ends, and group the cut pieces by run."""
        table = np.asarray(packing.placements, dtype=np.int64).reshape(-1, len(Placement._fields))
        first_bin, num_bins, size_index, per_bin, rank = table.T
        # A run begins wherever a placement begins or ends.
        first_bins = np.unique(np.concatenate([[0], first_bin, first_bin + num_bins]))
        # Repeat each placement for every run that it covers: one entry per (run, placement).
        first_run = np.searchsorted(first_bins, first_bin)
        num_runs = np.searchsorted(first_bins, first_bin + num_bins) - first_run
        placement = np.repeat(np.arange(len(table)), num_runs)
        run = np.arange(len(placement)) + np.repeat(first_run - np.cumsum(num_runs) + num_runs, num_runs)
        # Sort the entries by run; the stable sort keeps the order of the placements within a bin.
        by_run = np.argsort(run, kind="stable")
        run, placement = run[by_run], placement[by_run]
        entry_offsets = np.searchsorted(run, np.arange(len(first_bins)))
        base = histogram.first_positions[size_index] + rank - first_bin * per_bin
        weight = None
        if histogram.weights is not None:
            weight = _sum_by_run((per_bin * histogram.weights[size_index])[placement], entry_offsets)
        return cls(
            first_bins=first_bins,
            entry_offsets=entry_offsets,
            entry_base=base[placement],
            entry_per_bin=per_bin[placement],
            fill=_sum_by_run((per_bin * histogram.sizes[size_index])[placement], entry_offsets),
            num_items=_sum_by_run(per_bin[placement], entry_offsets),
            weight=weight,
        )

    @classmethod
    def from_consecutive_items(
        cls, starts: NDArray[np.int64], lengths: NDArray[np.integer], weights: NDArray[np.integer] | None = None
    ) -> Runs:
        """Make one run per bin; bin b holds the consecutive items from `starts[b]` up to `starts[b + 1]`."""
        num_items = np.diff(starts)
        bins = np.arange(len(starts), dtype=np.int64)
        return cls(
            first_bins=bins,
            entry_offsets=bins,
            entry_base=starts[:-1] - bins[:-1] * num_items,
            entry_per_bin=num_items,
            fill=_sum_between(starts, lengths),
            num_items=num_items,
            weight=None if weights is None else _sum_between(starts, weights),
        )


def append_packing(
    placements: Sequence[Placement],
    num_bins: int,
    rest: Packing,
    size_indices: NDArray[np.int64],
    ranks: NDArray[np.int64],
) -> Packing:
    """Append `rest`, a packing of the items that other placements left over.

    Args:
        placements: The placements so far.
        num_bins: Number of bins so far.
        rest: Placements into bins of their own. Their sizes are numbered among those with items left.
        size_indices: int64 [sizes of `rest`], index of each of these sizes in the histogram of all items.
        ranks: int64 [sizes of `rest`], number of items of each size that the placements so far use.
    """
    indices, first_ranks = size_indices.tolist(), ranks.tolist()
    appended = [
        Placement(
            first_bin=num_bins + placement.first_bin,
            num_bins=placement.num_bins,
            size_index=indices[placement.size_index],
            per_bin=placement.per_bin,
            rank=first_ranks[placement.size_index] + placement.rank,
        )
        for placement in rest.placements
    ]
    return Packing([*placements, *appended], num_bins + rest.num_bins)


def _sum_between(starts: NDArray[np.int64], values: NDArray[np.integer]) -> NDArray[np.int64]:
    if len(starts) == 1:
        return np.zeros(0, dtype=np.int64)
    return np.add.reduceat(values, starts[:-1], dtype=np.int64)


def _sum_by_run(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(np.concatenate([[0], np.cumsum(values)])[offsets])
