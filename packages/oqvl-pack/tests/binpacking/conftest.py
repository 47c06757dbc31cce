"""Yardsticks for packing algorithms: the optimum by trying everything, and what is in each bin of a packing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing


def try_everything(
    lengths: Sequence[int],
    capacity: int,
    *,
    max_items: int = 0,
    weights: Sequence[int] | None = None,
    weight_capacity: int = 0,
) -> int:
    """Return the smallest number of bins: put the items in every open bin and a new one, symmetric states merged."""
    items = sorted(zip(lengths, weights or [0] * len(lengths), strict=True), reverse=True)
    states: set[tuple[tuple[int, int, int], ...]] = {()}
    for length, weight in items:
        grown = set()
        for state in states:
            grown.add(tuple(sorted([*state, (length, weight, 1)])))
            for index, (fill, load, count) in enumerate(state):
                is_within = fill + length <= capacity and load + weight <= weight_capacity
                if is_within and (not max_items or count < max_items):
                    changed = (fill + length, load + weight, count + 1)
                    grown.add(tuple(sorted([*state[:index], changed, *state[index + 1 :]])))
        states = grown
    return min(map(len, states))


def list_bins(packing: Packing, histogram: Histogram) -> list[list[tuple[int, int]]]:
    """Return the (size index, rank) of every item of every bin, in order."""
    bins: list[list[tuple[int, int]]] = [[] for _ in range(packing.num_bins)]
    for first_bin, num_bins, size_index, per_bin, rank in packing.placements:
        for number in range(num_bins):
            ranks = range(rank + number * per_bin, rank + (number + 1) * per_bin)
            bins[first_bin + number] += [(size_index, of_item) for of_item in ranks]
    placed = sorted(item for items in bins for item in items)
    assert placed == [(index, rank) for index, count in enumerate(histogram.counts) for rank in range(count)]
    return bins


def count(lengths: Sequence[int], weights: Sequence[int] | None = None) -> Histogram:
    """Return the histogram of a few items."""
    types = sorted(set(zip(lengths, weights or [0] * len(lengths), strict=True)), reverse=True)
    items = list(zip(lengths, weights or [0] * len(lengths), strict=True))
    columns = np.asarray(types, dtype=np.int64).reshape(-1, 2).T
    counts = np.asarray([items.count(kind) for kind in types], dtype=np.int64)
    return Histogram(columns[0], counts, None if weights is None else columns[1])


@pytest.fixture(scope="session")
def optimum() -> Callable[..., int]:
    return try_everything


@pytest.fixture(scope="session")
def bins_of() -> Callable[[Packing, Histogram], list[list[tuple[int, int]]]]:
    return list_bins


@pytest.fixture(scope="session")
def histogram_of() -> Callable[..., Histogram]:
    return count
