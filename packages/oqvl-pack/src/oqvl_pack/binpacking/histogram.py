"""Lengths as a histogram: packing algorithms see distinct sizes and their counts, never single items.

With a second constraint an item has a *type*, its length and its weight, and everything said about sizes holds for
types.

Two numbers identify an item. Its *rank* counts the items of its size by ascending id from 0. Its *position* is its
place in the stable order of all items by ascending length. Algorithms use ranks, plans use positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histogram:
    """Distinct sizes and their counts.

    Args:
        sizes: int64 [K], lengths, descending, each at least 1; distinct unless there are weights.
        counts: int64 [K], number of items of each size, each at least 1.
        weights: int64 [K], weights, descending where lengths are equal; None without a second constraint.
    """

    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: NDArray[np.int64] | None = None

    @property
    def num_items(self) -> int:
        """Number of items."""
        return int(self.counts.sum())

    @property
    def total(self) -> int:
        """Sum of all lengths."""
        return int(self.sizes @ self.counts)

    def restricted_to(self, indices: NDArray[np.int64], counts: NDArray[np.int64]) -> Histogram:
        """Return a histogram of the sizes at `indices` only, with `counts` items of each."""
        weights = None if self.weights is None else self.weights[indices]
        return Histogram(self.sizes[indices], counts, weights)

    @property
    def first_positions(self) -> NDArray[np.int64]:
        """Position of each size's item of rank 0, int64 [K]."""
        return self.num_items - np.cumsum(self.counts)
