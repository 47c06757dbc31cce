"""Lengths as a histogram: packing algorithms see distinct sizes and how often each occurs, never single items.

With a second constraint an item is of a *type*, its length and its weight, and what is said of sizes holds for types.

A size's *rank* numbers its items by ascending id from 0; its *position* is where the item lies in the stable order of
all items by ascending length. An algorithm speaks in ranks, a plan in positions.
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
        counts: int64 [K], items of each size, each at least 1.
        weights: int64 [K], weights, descending where the lengths are equal; None without a second constraint.
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

    def part(self, indices: NDArray[np.int64], counts: NDArray[np.int64]) -> Histogram:
        """Return the sizes at `indices` alone, with `counts` items each."""
        weights = None if self.weights is None else self.weights[indices]
        return Histogram(self.sizes[indices], counts, weights)

    @property
    def first_positions(self) -> NDArray[np.int64]:
        """Position of each size's item of rank 0, int64 [K]."""
        return self.num_items - np.cumsum(self.counts)
