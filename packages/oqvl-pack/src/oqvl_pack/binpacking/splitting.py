"""Pieces of items that no bin holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oqvl_shards.errors import DataError


class Span(NamedTuple):
    """A part of an item: what lies from `start` up to `stop`, in the unit of the lengths."""

    item: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Pieces:
    """Which part of which item an id of a plan means, when overlong items were split. N items, P pieces beyond them.

    An id below N is the item itself, or the first piece of it; the others are numbered from N on, item by item. Every
    piece is as long as a bin allows, and an item's last one is what remains.

    Args:
        lengths: [N], the lengths of the items.
        split: int64, the items that were split, ascending.
        first_pieces: int64 [split + 1], id of each split item's second piece, and N + P.
        starts: int64 [P], where each piece beyond an item's first begins in it.
    """

    lengths: NDArray[np.integer]
    split: NDArray[np.int64]
    first_pieces: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, lengths: NDArray[np.integer], capacity: int) -> Pieces:
        """Split the items that are longer than `capacity` into pieces as long as a bin and a last one."""
        split = np.flatnonzero(lengths > capacity)
        further = -(-lengths[split].astype(np.int64) // capacity) - 1
        ends = np.cumsum(further)
        numbers = np.arange(int(further.sum())) - np.repeat(ends - further, further)
        return cls(lengths, split, _first_pieces(len(lengths), ends), (numbers + 1) * capacity)

    @classmethod
    def of_weighted(
        cls,
        lengths: NDArray[np.integer],
        weights: NDArray[np.integer],
        capacity: int,
        weight_capacity: int,
        units: Callable[[int], ArrayLike],
    ) -> tuple[Pieces, NDArray[np.int64]]:
        """Split the items that are longer or heavier than a bin, and never inside a unit that carries weight.

        Args:
            lengths: [N].
            weights: [N].
            capacity: Length that a bin holds at most.
            weight_capacity: Weight that a bin holds at most.
            units: Gives [U, 3] of an item: start, stop and weight of its units, in order.

        Returns:
            The pieces, and the weight of every id, int64 [N + P].

        Raises:
            DataError: When the units of an item lie outside of it, overlap or weigh something else than it does, or
                when no bin holds one of them.
        """
        split = np.flatnonzero((lengths > capacity) | (weights > weight_capacity))
        of_id = weights.astype(np.int64)
        starts, further = [], []
        for item in split.tolist():
            table = _checked_units(item, units(item), int(lengths[item]), int(weights[item]))
            cuts = _cut(item, int(lengths[item]), table, capacity, weight_capacity)
            of_id[item] = cuts[0][1]
            starts.append([start for start, _ in cuts[1:]])
            further.append([weight for _, weight in cuts[1:]])
        ends = np.cumsum([len(one) for one in starts])
        pieces = cls(lengths, split, _first_pieces(len(lengths), ends), _join(starts))
        return pieces, np.concatenate([of_id, _join(further)])

    @property
    def piece_lengths(self) -> NDArray[np.int64]:
        """Length of every id, int64 [N + P]."""
        bounds = self.first_pieces - len(self.lengths)
        of_items = self.lengths.astype(np.int64)
        stops = np.roll(self.starts, -1)
        stops[bounds[1:] - 1] = of_items[self.split]
        of_items[self.split] = self.starts[bounds[:-1]]
        return np.concatenate([of_items, stops - self.starts])

    def span(self, index: int) -> Span:
        """Return what an id of the plan means."""
        num_items = len(self.lengths)
        if not 0 <= index < self.first_pieces[-1]:
            raise IndexError(f"id {index} of a plan with ids up to {self.first_pieces[-1] - 1}")
        rank = int(np.searchsorted(self.split if index < num_items else self.first_pieces, index, side="right")) - 1
        if index < num_items and (rank < 0 or self.split[rank] != index):
            return Span(int(index), 0, int(self.lengths[index]))
        item = int(self.split[rank])
        begin, end = (self.first_pieces[rank : rank + 2] - num_items).tolist()
        cuts = [0, *self.starts[begin:end].tolist(), int(self.lengths[item])]
        number = 0 if index < num_items else int(index) - num_items - begin + 1
        return Span(item, cuts[number], cuts[number + 1])


def _cut(item: int, length: int, units: list[list[int]], capacity: int, weight_capacity: int) -> list[tuple[int, int]]:
    """Return start and weight of every piece, each as long as the capacities and the units allow."""
    pieces = []
    start = rank = 0
    while start < length:
        stop, weight = min(start + capacity, length), 0
        while rank < len(units) and units[rank][0] < stop:
            unit_start, unit_stop, unit_weight = units[rank]
            if unit_stop > stop or weight + unit_weight > weight_capacity:
                stop = unit_start
                break
            weight += unit_weight
            rank += 1
        if stop == start:
            unit_start, unit_stop, unit_weight = units[rank]
            raise DataError(
                f"item {item} has a unit of length {unit_stop - unit_start} and weight {unit_weight} at {unit_start}, "
                f"a bin holds {capacity} and {weight_capacity}",
                hint="raise the capacities, or leave such items out with overlong='drop'",
            )
        pieces.append((start, weight))
        start = stop
    return pieces


def _checked_units(item: int, units: ArrayLike, length: int, weight: int) -> list[list[int]]:
    try:
        table = np.asarray(units)
        table = table.astype(np.int64, casting="same_kind" if table.size else "unsafe").reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"item {item} has the units {units!r:.200}, expected integers [U, 3]",
            hint="a unit is its start, its stop and its weight",
        ) from error
    starts, stops, weights = table.T
    bounds = table[:, :2].reshape(-1)
    if (
        (starts >= stops).any()
        or (np.diff(bounds) < 0).any()
        or bounds.min(initial=0) < 0
        or bounds.max(initial=0) > length
        or (weights < 0).any()
        or weights.sum() != weight
    ):
        raise DataError(
            f"item {item} of length {length} and weight {weight} has the units (start, stop, weight) {table.tolist()}",
            hint="they must be in order, within the item, without overlap, and weigh as much as it",
        )
    return table.tolist()


def _first_pieces(num_items: int, ends: NDArray[np.integer]) -> NDArray[np.int64]:
    return num_items + np.concatenate([[0], ends]).astype(np.int64)


def _join(lists: list[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int64)
