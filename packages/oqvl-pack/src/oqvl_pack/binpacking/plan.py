"""The result of packing: which items share a bin."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oqvl_pack.binpacking.arguments import integer
from oqvl_pack.binpacking.balance import balanced_order
from oqvl_pack.binpacking.bounds import LowerBounds
from oqvl_pack.binpacking.counting_sort import gather
from oqvl_pack.binpacking.placement import Runs
from oqvl_pack.binpacking.shuffle import mix, permutation
from oqvl_pack.binpacking.splitting import Pieces, Span
from oqvl_shards.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Plan(Sequence[NDArray[np.unsignedinteger]]):
    """A packing of N items into B bins: a sequence whose item `plan[i]` is the ids of bin i.

    A bin is looked up by arithmetic. The list of all bins (`indices`, `offsets`) is made when it is first used.

    Args:
        capacity: Length that a bin holds.
        algorithm: The algorithm that made the packing (with `"best"`, the one that won).
        lower_bounds: Lower bounds on the number of bins for these items.
        order: [N], item ids by position (see `oqvl_pack.binpacking.histogram`).
        runs: The bins in the order in which the algorithm opened them.
        dropped: int64, ids of the items that were left out because no bin holds them, ascending.
        seed: Seed of the shuffle of bins, and of items inside each bin; None for the algorithm's own order.
        weight_capacity: Weight that a bin holds; 0 without a second constraint.
        bin_order: int64 [B], an explicit order of the bins; None for the order that follows from `seed`.
        pieces: What the ids mean, if overlong items were split: ids from the number of items on are further pieces.
    """

    capacity: int
    algorithm: str
    lower_bounds: LowerBounds
    order: NDArray[np.unsignedinteger]
    runs: Runs
    dropped: NDArray[np.int64]
    seed: int | None = None
    weight_capacity: int = 0
    bin_order: NDArray[np.int64] | None = None
    pieces: Pieces | None = None

    def shuffled(self, seed: SupportsIndex) -> Plan:
        """Return the same bins in a random order, with the items of each bin in a random order.

        Algorithms emit bins sorted by length. A model that is trained in that order would see the lengths sorted, and
        with them everything that correlates with length. The order depends only on `seed`, not on the machine or a
        library's release.
        """
        return replace(self, seed=integer("seed", seed), bin_order=None)

    def reordered(self, order: ArrayLike) -> Plan:
        """Return the same bins in another order: bin i of the new plan is bin `order[i]` of this one.

        Raises:
            DataError: If `order` does not name every bin exactly once.
        """
        bins = np.asarray(order)
        if bins.shape == (0,) and not self.num_bins:
            return self
        if (
            bins.shape != (self.num_bins,)
            or bins.dtype.kind not in "iu"
            or not np.array_equal(np.sort(bins), np.arange(self.num_bins))
        ):
            raise DataError(
                f"the order of a plan with {self.num_bins} bins must name every bin exactly once",
                hint=f"pass a permutation of 0 to {self.num_bins - 1}",
            )
        return replace(self, bin_order=self._bins[bins])

    def balanced(
        self, costs: ArrayLike, *, num_ranks: SupportsIndex, packs_per_rank: SupportsIndex = 1, seed: SupportsIndex = 0
    ) -> Plan:
        """Return the same bins in an order that gives every global batch, and every rank in it, about the same cost.

        Args:
            costs: [B] or [B, D], D costs of each bin in this plan's order, such as `plan.fill` for tokens and
                `plan.sums(images)` for vision work.
            num_ranks: Ranks that share a global batch; rank r takes bins r, r + `num_ranks`, ... of it.
            packs_per_rank: Packs per rank and global batch.
            seed: See `oqvl_pack.balanced_order`.

        Raises:
            ConfigError: If `num_ranks` or `packs_per_rank` is below 1, or an argument is not an integer.
            DataError: If there is not one row of costs per bin, or a cost is negative or not finite.
        """
        if np.shape(costs)[:1] != (self.num_bins,):
            raise DataError(f"costs have shape {np.shape(costs)}, expected one row for each of {self.num_bins} bins")
        return self.reordered(balanced_order(costs, num_ranks=num_ranks, packs_per_rank=packs_per_rank, seed=seed))

    def sums(self, values: ArrayLike) -> NDArray[np.number]:
        """Add up values of the items per bin.

        Args:
            values: [N] or [N, D], by item id, dropped items included.

        Returns:
            [B] or [B, D] of the same type.

        Raises:
            DataError: If there is not one row per item.
        """
        table = np.asarray(values)
        num_ids = self.num_items + len(self.dropped)
        if table.shape[:1] != (num_ids,):
            ids = "items" if self.pieces is None else "items and pieces"
            raise DataError(f"values have shape {table.shape}, expected one row for each of {num_ids} {ids}")
        if not self.num_bins:
            return np.zeros((0, *table.shape[1:]), dtype=table.dtype)
        return np.add.reduceat(table[self.indices], self.offsets[:-1], axis=0)

    @property
    def num_bins(self) -> int:
        """Number of bins B."""
        return self.runs.num_bins

    @property
    def num_items(self) -> int:
        """Number of packed items N; each piece of a split item counts as one."""
        return len(self.order)

    @cached_property
    def num_tokens(self) -> int:
        """Sum of the packed lengths."""
        return int(self.runs.fill @ self.runs.bins_per_run)

    @property
    def utilization(self) -> float:
        """Packing efficiency: the filled share of the capacity of all bins; 1.0 for no bins."""
        return self.num_tokens / (self.num_bins * self.capacity) if self.num_bins else 1.0

    @property
    def lower_bound(self) -> int:
        """The largest of `lower_bounds`."""
        return self.lower_bounds.best

    @property
    def gap(self) -> float:
        """Excess of bins over the lower bound, as a share of the bound; 0.0 means that the packing is optimal."""
        return self.num_bins / self.lower_bound - 1 if self.lower_bound else 0.0

    @property
    def is_optimal(self) -> bool:
        """Whether the packing meets its lower bound, which proves that no packing has fewer bins."""
        return self.num_bins == self.lower_bound

    @cached_property
    def fill(self) -> NDArray[np.int64]:
        """Sum of the lengths in each bin, int64 [B]."""
        return np.repeat(self.runs.fill, self.runs.bins_per_run)[self._bins]

    @cached_property
    def weight(self) -> NDArray[np.int64]:
        """Sum of the weights in each bin, int64 [B]; zeros without a second constraint."""
        if self.runs.weight is None:
            return np.zeros(self.num_bins, dtype=np.int64)
        return np.repeat(self.runs.weight, self.runs.bins_per_run)[self._bins]

    def spans(self, index: int) -> list[Span]:
        """Return, for each entry of bin `index`, its item and the part of the item that it holds.

        Raises:
            ConfigError: If the plan was not packed with `overlong="split"`.
        """
        if self.pieces is None:
            raise ConfigError("this plan has no spans, because no items were split", hint="pack with overlong='split'")
        return [self.pieces.span(item) for item in self[index].tolist()]

    @property
    def indices(self) -> NDArray[np.unsignedinteger]:
        """Item ids of all bins, one bin after another, [N]; bin i is `indices[offsets[i]:offsets[i + 1]]`."""
        return self._lists[0]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each bin begins in `indices`, int64 [B + 1]."""
        return self._lists[1]

    def __len__(self) -> int:
        return self.num_bins

    @overload
    def __getitem__(self, index: SupportsIndex) -> NDArray[np.unsignedinteger]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.unsignedinteger]]: ...

    def __getitem__(
        self, index: SupportsIndex | slice
    ) -> NDArray[np.unsignedinteger] | list[NDArray[np.unsignedinteger]]:
        """Return the item ids of bin `index`, in its order; for a slice, a list of such arrays."""
        if isinstance(index, slice):
            return [self[bin_index] for bin_index in range(*index.indices(self.num_bins))]
        number = operator.index(index)
        if not -self.num_bins <= number < self.num_bins:
            raise IndexError(f"bin {number} of a plan with {self.num_bins} bins")
        bin_index = int(self._bins[number])
        run = int(np.searchsorted(self.runs.first_bins, bin_index, side="right")) - 1
        entries = slice(self.runs.entry_offsets[run], self.runs.entry_offsets[run + 1])
        per_bin = self.runs.entry_per_bin[entries]
        starts = self.runs.entry_base[entries] + bin_index * per_bin
        pieces = [self.order[start : start + num] for start, num in zip(starts, per_bin, strict=True)]
        ids = np.concatenate(pieces)
        return ids if self.seed is None else ids[np.argsort(mix(ids, self._document_seed))]

    def __iter__(self) -> Iterator[NDArray[np.unsignedinteger]]:
        for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.indices[begin:end]

    @cached_property
    def _bins(self) -> NDArray[np.int64]:
        """The algorithm's number for each bin of the plan, int64 [B]."""
        if self.bin_order is not None:
            return self.bin_order
        return np.arange(self.num_bins) if self.seed is None else permutation(self.num_bins, self.seed)

    @property
    def _document_seed(self) -> int:
        assert self.seed is not None
        return self.seed + 1  # bins and items must not share sort keys

    @cached_property
    def _lists(self) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """The indices and offsets of all bins, computed once."""
        return gather(self.order, self.runs, self._bins, None if self.seed is None else self._document_seed)
