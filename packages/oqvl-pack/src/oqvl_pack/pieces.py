"""Pieces of items that are longer than a bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Span(NamedTuple):
    """A part of an item: what lies from `start` up to `stop`, in the unit of the lengths."""

    item: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Pieces:
    """Which part of which item an id of a plan means, when overlong items were split. N items, P pieces beyond them.

    An id below N is the item itself, or the first piece of it; the others are numbered from N on, item by item. Every
    piece but an item's last is as long as a bin.

    Args:
        lengths: [N], the lengths of the items.
        capacity: What a bin holds at most.
        split: int64, the items that were split, ascending.
        first_pieces: int64 [split + 1], id of each split item's second piece, and N + P.
    """

    lengths: NDArray[np.integer]
    capacity: int
    split: NDArray[np.int64]
    first_pieces: NDArray[np.int64]

    @classmethod
    def of(cls, lengths: NDArray[np.integer], capacity: int) -> Pieces:
        """Split the items that are longer than `capacity`."""
        split = np.flatnonzero(lengths > capacity)
        further = -(-lengths[split].astype(np.int64) // capacity) - 1
        return cls(lengths, capacity, split, len(lengths) + np.concatenate([[0], np.cumsum(further)]).astype(np.int64))

    @property
    def piece_lengths(self) -> NDArray[np.int64]:
        """Length of every id, int64 [N + P]."""
        further = np.diff(self.first_pieces)
        whole = np.minimum(self.lengths.astype(np.int64), self.capacity)
        ends = np.full(int(further.sum()), self.capacity, dtype=np.int64)
        ends[np.cumsum(further) - 1] = self.lengths[self.split].astype(np.int64) - further * self.capacity
        return np.concatenate([whole, ends])

    def span(self, index: int) -> Span:
        """Return what an id of the plan means."""
        if not 0 <= index < self.first_pieces[-1]:
            raise IndexError(f"id {index} of a plan with ids up to {self.first_pieces[-1] - 1}")
        if index < len(self.lengths):
            return Span(int(index), 0, min(int(self.lengths[index]), self.capacity))
        rank = int(np.searchsorted(self.first_pieces, index, side="right")) - 1
        start = (int(index) - int(self.first_pieces[rank]) + 1) * self.capacity
        item = int(self.split[rank])
        return Span(item, start, min(start + self.capacity, int(self.lengths[item])))
