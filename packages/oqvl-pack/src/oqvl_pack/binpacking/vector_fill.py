"""Exact fill with two capacities: bins that are full in the scarce one and keep the other in proportion.

Items are types (length, weight). Until none is left: open a bin with the largest remaining type; find which pairs
(sum of lengths, sum of weights) the remaining items can add to it; take one that is full enough in both; repeat the
same bin as often as the remaining items allow.

Full enough is what lowers the bound on the rest by one a bin: T tokens and W weight need at least
B = max(T / capacity, W / weight_capacity) bins, so every bin should take T / B and W / B, one of which is a whole
capacity. A search for the fullest length would run through all types in vain wherever the weight is scarce; this one
stops when it meets both, expects a little less the more it has tried, and sees only a window of the types: a random
one, in which a type is the more likely the more items it has left, so that it has the mixture of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.first_fit import first_fit_decreasing
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement, append_packing
from oqvl_pack.binpacking.shuffle import mix
from oqvl_pack.binpacking.subset_sum import Goal, reachable_cells

_MAX_COLUMNS = 8192  # a larger capacity is searched in so many units, and what comes out is corrected
_MAX_ROWS = 64  # likewise for the weight
_WINDOW_TYPES = 40
_GLANCE = 256  # types that are looked at first, to fill a window
_MAX_TERMS = 64  # of one search; a type with n items makes about log2(n) terms
_TOLERANCES = {1: 0.0, 16: 1 / 2048, 24: 1 / 512}  # the share of a bin that may be missing, from so many terms on
_BINS_PER_WINDOW = 16  # patterns after which the types are drawn anew; the best of a window is soon used up
_SEARCH_COST = 1 << 36  # in all, some ten seconds, after which first-fit decreasing packs what is left
_TERM_COST = 1 << 12  # of a term, in cells that could be moved meanwhile


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
        return self._fitting(slice(None), length, weight)

    def window(self, length: int, weight: int) -> NDArray[np.int64]:
        """Return the first `_WINDOW_TYPES` of `fitting`, without a look at all types where few are enough."""
        begin, end = 0, _GLANCE
        found = self._fitting(slice(begin, end), length, weight)
        while len(found) < _WINDOW_TYPES and end < len(self._drawn):
            begin, end = end, 4 * end
            found = np.concatenate([found, self._fitting(slice(begin, end), length, weight)])
        return found[:_WINDOW_TYPES]

    def _fitting(self, part: slice, length: int, weight: int) -> NDArray[np.int64]:
        is_fitting = (self._drawn_lengths[part] <= length) & (self._drawn_weights[part] <= weight)
        drawn = self._drawn[part][is_fitting]
        return drawn[self.remaining[drawn] > 0]

    def _draw(self) -> None:
        alive = np.flatnonzero(self.remaining)
        # The least of n uniform numbers is as small as one of them divided by n, nearly.
        keys = (mix(alive, self._num_draws) >> np.uint64(11)).astype(np.float64) / self.remaining[alive]
        self._drawn = alive[np.argsort(keys, kind="stable")]
        self._drawn_lengths, self._drawn_weights = self.lengths[self._drawn], self.weights[self._drawn]
        self._num_draws += 1
        self._age = 0


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
        self.reachable = reachable_cells(int(supply.remaining.sum()), _MAX_TERMS)

    def fill_bin(self, seed: int) -> tuple[dict[int, int], int]:
        """Fill one bin that holds an item of type `seed`.

        Returns:
            The bin as {type: items}, and what the search cost (see `_SEARCH_COST`).
        """
        room = self.capacity - int(self.supply.lengths[seed])
        weight_room = self.weight_capacity - int(self.supply.weights[seed])
        width, height = room * self.columns // self.capacity + 1, weight_room * self.rows // self.weight_capacity + 1
        types, items, moves = self._window(seed, room, weight_room, width, height)
        num_terms, found = self.reachable.fill(moves, self._goals(seed, width, height), height, width)
        chosen = self.reachable.terms_of(num_terms, *(found or self._best_cell(num_terms, seed)))
        pattern = {seed: 1}
        # The last term first: the order in which items lie in their bin.
        for index, number in zip(types[chosen[::-1]].tolist(), items[chosen[::-1]].tolist(), strict=True):
            pattern[index] = pattern.get(index, 0) + number
        if not found or not self.is_exact:
            self._correct(pattern, seed)
        return pattern, num_terms * (_TERM_COST + width * height)

    def _window(
        self, seed: int, room: int, weight_room: int, width: int, height: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the terms of a window: their types, items, and moves (see `oqvl_pack.binpacking.subset_sum`).

        The items of a type are split in powers of two and a rest; the seed's own item is left out.
        """
        types = self.supply.window(room, weight_room)
        cells = np.stack([self.cell_weights[types], self.cell_lengths[types]], axis=1)
        # What weighs nothing may come as often as its length allows; then the first quotient does not matter.
        fitting = np.asarray([height - 1, width - 1]) // np.maximum(cells, 1)
        fitting[cells[:, 0] == 0, 0] = width
        available = np.minimum(fitting.min(axis=1), self.supply.remaining[types] - (types == seed))
        num_terms = np.frexp(available)[1]  # the number of binary digits
        last = np.cumsum(num_terms)
        rank = np.arange(int(last[-1]) if len(last) else 0) - np.repeat(last - num_terms, num_terms)
        items = 1 << rank
        items[last[num_terms > 0] - 1] += available[num_terms > 0] + 1 - (1 << num_terms[num_terms > 0])
        types, items = np.repeat(types, num_terms)[:_MAX_TERMS], items[:_MAX_TERMS]
        moves = np.repeat(cells, num_terms, axis=0)[:_MAX_TERMS] * items[:, np.newaxis]
        return types, items, moves

    def _goals(self, seed: int, width: int, height: int) -> list[Goal]:
        """Return what a bin should reach beside its seed, in proportion to what is left, and what suffices later."""
        length, weight = self.supply.total_length, self.supply.total_weight
        if length * self.weight_capacity >= weight * self.capacity:
            length, weight = self.capacity, weight * self.capacity // length
        else:
            length, weight = length * self.weight_capacity // weight, self.weight_capacity
        column = (length - int(self.supply.lengths[seed])) * self.columns // self.capacity
        row = (weight - int(self.supply.weights[seed])) * self.rows // self.weight_capacity
        row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        return [
            Goal(num_terms, max(0, row - int(share * self.rows)), max(0, column - int(share * self.columns)))
            for num_terms, share in _TOLERANCES.items()
        ]

    def _best_cell(self, num_terms: int, seed: int) -> tuple[int, int]:
        """Return (row, column) of the cell after which the bound on the rest is least; among equals the fullest."""
        length_left = self.supply.total_length - int(self.supply.lengths[seed])
        weight_left = self.supply.total_weight - int(self.supply.weights[seed])
        ranked = []
        for row, column in self.reachable.last_columns(num_terms):
            bins_by_length = (length_left - column * self.capacity // self.columns) * self.weight_capacity
            bins_by_weight = (weight_left - row * self.weight_capacity // self.rows) * self.capacity
            ranked.append((max(bins_by_length, bins_by_weight), bins_by_length + bins_by_weight, row, column))
        return min(ranked)[2:]

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


def _rescale(values: NDArray[np.int64], capacity: int, num_units: int) -> NDArray[np.int64]:
    """Express `values` in units of a `num_units`-th of `capacity`, rounded to the nearest."""
    if num_units == capacity:
        return values
    return np.rint(values / capacity * num_units).astype(np.int64)
