"""Exact fill with two capacities: bins that are full in the scarce one and keep the other in proportion.

Items are types (length, weight). Until none is left: open a bin with the largest remaining type; find which pairs
(sum of lengths, sum of weights) the remaining items can add to it; take one that is full enough in both; repeat the
same bin as often as the remaining items allow. The reachable pairs are one big integer: row w, column l is bit
`w * stride + l`; a row is twice as wide as the room, so that a shift cannot run into the next row, and a mask clears
what is beyond the room.

Full enough is what lowers the bound on the rest by one a bin: T tokens and W weight need at least
B = max(T / capacity, W / weight_capacity) bins, so every bin should take T / B and W / B, one of which is a whole
capacity. A search for the fullest length would run through all types in vain wherever the weight is scarce; this one
stops when it meets both, expects a little less the more it has tried, and sees only a window of the types: a random
one, in which a type is the more likely the more items it has left, so that it has the mixture of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.first_fit import first_fit_decreasing
from oqvl_pack.histogram import Histogram
from oqvl_pack.placement import Packing, Placement, append_packing
from oqvl_pack.shuffle import mix

_MAX_COLUMNS = 8192  # a larger capacity is searched in so many units, and what comes out is corrected
_MAX_ROWS = 64  # likewise for the weight
_WINDOW_TYPES = 40
_MAX_TERMS = 64  # of one search; a type with n items makes about log2(n) terms
_TOLERANCES = {1: 0.0, 16: 1 / 2048, 24: 1 / 512}  # the share of a bin that may be missing, from so many terms on
_BINS_PER_WINDOW = 64  # patterns after which the types are drawn anew
_SEARCH_COST = 1 << 37  # in all, some twenty seconds, after which first-fit decreasing packs what is left
_TERM_COST = 1 << 13  # of a term, in bits that could be shifted meanwhile


def vector_fill(histogram: Histogram, capacity: int, weight_capacity: int) -> Packing:
    """Pack `histogram` into bins that are as full as can be in both capacities, one after another.

    Args:
        histogram: The items with their weights, each within both capacities.
        capacity: Length that a bin holds at most.
        weight_capacity: Weight that a bin holds at most.
    """
    supply = _Supply(histogram)
    search = _Search(supply, capacity, weight_capacity)
    placements: list[Placement] = []
    num_bins = 0
    budget = _SEARCH_COST
    for seed in np.argsort(-search.shares, kind="stable").tolist():
        while supply.remaining[seed] and budget > 0:
            pattern, cost = search.fill_bin(seed)
            budget -= cost
            repeats = min(int(supply.remaining[index]) // per_bin for index, per_bin in pattern.items())
            for index in sorted(pattern):
                rank = int(histogram.counts[index] - supply.remaining[index])
                placements.append(Placement(num_bins, repeats, index, pattern[index], rank))
            supply.take(pattern, repeats)
            num_bins += repeats
    left = np.flatnonzero(supply.remaining)
    rest = first_fit_decreasing(histogram.part(left, supply.remaining[left]), capacity, 0, weight_capacity)
    return append_packing(placements, num_bins, rest, left, (histogram.counts - supply.remaining)[left])


class _Supply:
    """What is left of each type, and the window from which bins are filled."""

    def __init__(self, histogram: Histogram) -> None:
        assert histogram.weights is not None
        self.lengths, self.weights = histogram.sizes, histogram.weights
        self.remaining = histogram.counts.copy()
        self.total_length = int(self.lengths @ self.remaining)
        self.total_weight = int(self.weights @ self.remaining)
        self._num_draws = 0
        self._draw()

    def take(self, pattern: Mapping[int, int], repeats: int) -> None:
        """Remove the items of `repeats` bins."""
        for index, per_bin in pattern.items():
            self.remaining[index] -= repeats * per_bin
            self.total_length -= repeats * per_bin * int(self.lengths[index])
            self.total_weight -= repeats * per_bin * int(self.weights[index])
        self._age += 1
        if self._age == _BINS_PER_WINDOW:
            self._draw()

    def fitting(self, length: int, weight: int) -> NDArray[np.int64]:
        """Return the types with items left that are within `length` and `weight`, in the order of the draw."""
        is_fitting = (self._drawn_lengths <= length) & (self._drawn_weights <= weight)
        drawn = self._drawn[is_fitting]
        return drawn[self.remaining[drawn] > 0]

    def _draw(self) -> None:
        alive = np.flatnonzero(self.remaining)
        # The least of n uniform numbers is as small as one of them divided by n, nearly.
        keys = (mix(alive, self._num_draws) >> np.uint64(11)).astype(np.float64) / self.remaining[alive]
        self._drawn = alive[np.argsort(keys, kind="stable")]
        self._drawn_lengths, self._drawn_weights = self.lengths[self._drawn], self.weights[self._drawn]
        self._num_draws += 1
        self._age = 0


class _Term(NamedTuple):
    """`items` items of type `index`, `shift` bits in all, and what was reachable before them."""

    index: int
    items: int
    shift: int
    before: int


class _Search:
    """The search for one bin after another, on a grid of (weight, length) with at most 64 x 8192 cells."""

    def __init__(self, supply: _Supply, capacity: int, weight_capacity: int) -> None:
        self.supply = supply
        self.capacity, self.weight_capacity = capacity, weight_capacity
        self.columns, self.rows = min(capacity, _MAX_COLUMNS), min(weight_capacity, _MAX_ROWS)
        self.is_exact = (self.columns, self.rows) == (capacity, weight_capacity)
        self.cell_lengths = np.maximum(1, _rescale(supply.lengths, capacity, self.columns))
        self.cell_weights = _rescale(supply.weights, weight_capacity, self.rows)
        self.shares = np.maximum(supply.lengths / capacity, supply.weights / weight_capacity)
        self._combs: dict[int, int] = {}

    def fill_bin(self, seed: int) -> tuple[dict[int, int], int]:
        """Fill one bin that holds an item of type `seed`.

        Returns:
            The bin as {type: items}, and what the search cost (see `_SEARCH_COST`).
        """
        room = self.capacity - int(self.supply.lengths[seed])
        weight_room = self.weight_capacity - int(self.supply.weights[seed])
        width, height = room * self.columns // self.capacity + 1, weight_room * self.rows // self.weight_capacity + 1
        stride = -(-2 * width // 512) * 512
        comb = self._comb(stride) & ((1 << (stride * height)) - 1)  # the first bit of every row
        cells = (comb << width) - comb
        wanted = list(zip(self._wanted(seed, width, height), (self.columns, self.rows), strict=True))
        terms: list[_Term] = []
        reachable, found, goal = 1, 0, 0
        for index, items in self._window(seed, room, weight_room, width, height):
            shift = items * (int(self.cell_weights[index]) * stride + int(self.cell_lengths[index]))
            terms.append(_Term(index, items, shift, reachable))
            reachable |= (reachable << shift) & cells
            if len(terms) in _TOLERANCES:
                column, row = (max(0, cell - int(_TOLERANCES[len(terms)] * num)) for cell, num in wanted)
                rows = comb >> (stride * row) << (stride * row)
                goal = (rows << width) - (rows << column)
            found = reachable & goal
            if found or len(terms) == _MAX_TERMS:
                break
        cell = found.bit_length() - 1 if found else self._best_cell(reachable, stride, height, seed)
        pattern = {seed: 1}
        for term in reversed(terms):
            if not term.before >> cell & 1:
                pattern[term.index] = pattern.get(term.index, 0) + term.items
                cell -= term.shift
        if not found or not self.is_exact:
            self._correct(pattern, seed)
        return pattern, len(terms) * (_TERM_COST + stride * height)

    def _window(self, seed: int, room: int, weight_room: int, width: int, height: int) -> Iterator[tuple[int, int]]:
        """Yield (type, items): multiplicities split in powers of two, the seed's own item left out."""
        for index in self.supply.fitting(room, weight_room)[:_WINDOW_TYPES].tolist():
            length, weight = int(self.cell_lengths[index]), int(self.cell_weights[index])
            available = min(int(self.supply.remaining[index]) - (index == seed), (width - 1) // length)
            if weight:
                available = min(available, (height - 1) // weight)
            items = 1
            while available > 0:
                items = min(items, available)
                yield index, items
                available -= items
                items *= 2

    def _wanted(self, seed: int, width: int, height: int) -> tuple[int, int]:
        """Return the column and the row that a bin should reach beside its seed, in proportion to what is left."""
        length, weight = self.supply.total_length, self.supply.total_weight
        if length * self.weight_capacity >= weight * self.capacity:
            length, weight = self.capacity, weight * self.capacity // length
        else:
            length, weight = length * self.weight_capacity // weight, self.weight_capacity
        column = (length - int(self.supply.lengths[seed])) * self.columns // self.capacity
        row = (weight - int(self.supply.weights[seed])) * self.rows // self.weight_capacity
        return min(max(column, 0), width - 1), min(max(row, 0), height - 1)

    def _best_cell(self, reachable: int, stride: int, height: int, seed: int) -> int:
        """Return the cell after which the bound on the rest is least; among equals the fullest."""
        length_left = self.supply.total_length - int(self.supply.lengths[seed])
        weight_left = self.supply.total_weight - int(self.supply.weights[seed])
        row_mask = (1 << stride) - 1
        best: tuple[int, int, int] | None = None
        for row in range(height):
            columns = (reachable >> (row * stride)) & row_mask
            if not columns:
                continue
            column = columns.bit_length() - 1
            bins_by_length = (length_left - column * self.capacity // self.columns) * self.weight_capacity
            bins_by_weight = (weight_left - row * self.weight_capacity // self.rows) * self.capacity
            ranked = (max(bins_by_length, bins_by_weight), bins_by_length + bins_by_weight, row * stride + column)
            best = ranked if best is None else min(best, ranked)
        assert best is not None
        return best[2]

    def _correct(self, pattern: dict[int, int], seed: int) -> None:
        """Take out what the grid's rounding put in too much, and put in what still fits, the largest first."""
        lengths, weights = self.supply.lengths, self.supply.weights
        room = self.capacity - sum(int(lengths[index]) * items for index, items in pattern.items())
        weight_room = self.weight_capacity - sum(int(weights[index]) * items for index, items in pattern.items())
        while room < 0 or weight_room < 0:
            others = [index for index in pattern if index != seed or pattern[seed] > 1]
            enough = [index for index in others if lengths[index] >= -room and weights[index] >= -weight_room]
            index = min(enough, key=lambda i: (self.shares[i], i)) if enough else max(others, key=self.shares.item)
            room, weight_room = room + int(lengths[index]), weight_room + int(weights[index])
            pattern[index] -= 1
            if not pattern[index]:
                del pattern[index]
        fitting = self.supply.fitting(room, weight_room)
        while len(fitting):
            index = int(fitting[np.argmax(self.shares[fitting])])
            if pattern.get(index, 0) < self.supply.remaining[index]:
                pattern[index] = pattern.get(index, 0) + 1
                room, weight_room = room - int(lengths[index]), weight_room - int(weights[index])
            else:
                fitting = fitting[fitting != index]
            fitting = fitting[(lengths[fitting] <= room) & (weights[fitting] <= weight_room)]

    def _comb(self, stride: int) -> int:
        """Return the bits 0, stride, 2 stride, ... of all rows."""
        if stride not in self._combs:
            self._combs[stride] = sum(1 << (stride * row) for row in range(self.rows + 1))
        return self._combs[stride]


def _rescale(values: NDArray[np.int64], capacity: int, num_units: int) -> NDArray[np.int64]:
    """Express `values` in units of a `num_units`-th of `capacity`, rounded to the nearest."""
    if num_units == capacity:
        return values
    return np.rint(values / capacity * num_units).astype(np.int64)
