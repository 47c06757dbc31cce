"""Split items that are longer than a bin, and map each piece to its item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oqvl_shards.errors import DataError


class Span(NamedTuple):
    """The part of an item from `start` up to `stop`, in the unit of the lengths."""

    item: int
    start: int
    stop: int


class _WeightedPiece(NamedTuple):
    """The start of a piece in its item, and its weight."""

    start: int
    weight: int


class _Unit(NamedTuple):
    """A part of an item that carries weight and must not be cut."""

    start: int
    stop: int
    weight: int


@dataclass(frozen=True, eq=False)
class Pieces:
    """The item, and the part of it, that each id of a plan means if overlong items were split.

    There are N items and P further pieces.

    An id below N is the item itself, or its first piece. Further pieces are numbered from N on, item by item. Every
    piece is as long as a bin allows, and an item's last piece is what remains.

    Args:
        lengths: [N], the lengths of the items.
        split: int64, the items that were split, ascending.
        first_pieces: int64 [split + 1], id of each split item's second piece, then N + P.
        starts: int64 [P], where each further piece begins in its item.
    """

    lengths: NDArray[np.integer]
    split: NDArray[np.int64]
    first_pieces: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, lengths: NDArray[np.integer], capacity: int) -> Pieces:
        """Split the items longer than `capacity` into pieces as long as a bin, and a last one."""
        split = np.flatnonzero(lengths > capacity)
        num_further = -(-lengths[split].astype(np.int64) // capacity) - 1
        ends = np.cumsum(num_further)
        numbers = np.arange(int(num_further.sum())) - np.repeat(ends - num_further, num_further)
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
            capacity: Length that a bin holds.
            weight_capacity: Weight that a bin holds.
            units: Returns [U, 3] for an item: start, stop and weight of each of its units, in order.

        Returns:
            The pieces, and the weight of every id, int64 [N + P].

        Raises:
            DataError: If the units of an item are outside of it, overlap, or do not add up to its weight, or if a unit
                does not fit into a bin.
        """
        split = np.flatnonzero((lengths > capacity) | (weights > weight_capacity))
        first_weights = weights.astype(np.int64)
        further: list[list[_WeightedPiece]] = []
        for item in split.tolist():
            item_units = _checked_units(item, units(item), int(lengths[item]), int(weights[item]))
            pieces = _cut(item, int(lengths[item]), item_units, capacity, weight_capacity)
            first_weights[item] = pieces[0].weight
            further.append(pieces[1:])
        ends = np.cumsum([len(pieces) for pieces in further])
        starts, further_weights = np.asarray(list(chain.from_iterable(further)), dtype=np.int64).reshape(-1, 2).T
        return (
            cls(lengths, split, _first_pieces(len(lengths), ends), starts),
            np.concatenate([first_weights, further_weights]),
        )

    @property
    def piece_lengths(self) -> NDArray[np.int64]:
        """Length of every id, int64 [N + P]."""
        bounds = self.first_pieces - len(self.lengths)
        first_lengths = self.lengths.astype(np.int64)
        # A further piece ends where the next one begins; an item's last piece ends with the item.
        stops = np.roll(self.starts, -1)
        stops[bounds[1:] - 1] = first_lengths[self.split]
        first_lengths[self.split] = self.starts[bounds[:-1]]
        return np.concatenate([first_lengths, stops - self.starts])

    def span(self, index: int) -> Span:
        """Return what an id of the plan means.

        Raises:
            IndexError: If the plan has no such id.
        """
        num_items = len(self.lengths)
        if not 0 <= index < self.first_pieces[-1]:
            raise IndexError(f"id {index} of a plan with ids up to {self.first_pieces[-1] - 1}")
        is_item = index < num_items
        rank = int(np.searchsorted(self.split if is_item else self.first_pieces, index, side="right")) - 1
        if is_item and (rank < 0 or self.split[rank] != index):
            return Span(int(index), 0, int(self.lengths[index]))
        item = int(self.split[rank])
        begin, end = (self.first_pieces[rank : rank + 2] - num_items).tolist()
        cuts = [0, *self.starts[begin:end].tolist(), int(self.lengths[item])]
        number = 0 if is_item else int(index) - num_items - begin + 1
        return Span(item, cuts[number], cuts[number + 1])


def _cut(item: int, length: int, units: list[_Unit], capacity: int, weight_capacity: int) -> list[_WeightedPiece]:
    """Cut an item into pieces, each as long as the capacities and the units allow.

    Raises:
        DataError: If a unit does not fit into a bin.
    """
    pieces = []
    start = rank = 0
    while start < length:
        # A piece ends with the bin, or before the first unit that would be cut or is too heavy.
        stop, weight = min(start + capacity, length), 0
        while rank < len(units) and units[rank].start < stop:
            unit = units[rank]
            if unit.stop > stop or weight + unit.weight > weight_capacity:
                stop = unit.start
                break
            weight += unit.weight
            rank += 1
        if stop == start:
            unit = units[rank]
            raise DataError(
                f"item {item} has a unit of length {unit.stop - unit.start} and weight {unit.weight} at {unit.start}, "
                f"but a bin holds {capacity} and {weight_capacity}",
                hint="raise the capacities, or leave out such items with overlong='drop'",
            )
        pieces.append(_WeightedPiece(start, weight))
        start = stop
    return pieces


def _checked_units(item: int, units: ArrayLike, length: int, weight: int) -> list[_Unit]:
    """Return the units of an item after checking them.

    Raises:
        DataError: If they are not integers [U, 3], are outside of the item, overlap, or do not add up to its weight.
    """
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
    are_in_order = (starts < stops).all() and (np.diff(bounds) >= 0).all()
    are_inside = bounds.min(initial=0) >= 0 and bounds.max(initial=0) <= length
    if not (are_in_order and are_inside and (weights >= 0).all() and weights.sum() == weight):
        raise DataError(
            f"item {item} of length {length} and weight {weight} has the units (start, stop, weight) {table.tolist()}",
            hint="units must be in order, inside the item, without overlap, and add up to its weight",
        )
    return [_Unit(*row) for row in table.tolist()]


def _first_pieces(num_items: int, ends: NDArray[np.integer]) -> NDArray[np.int64]:
    return num_items + np.concatenate([[0], ends]).astype(np.int64)
