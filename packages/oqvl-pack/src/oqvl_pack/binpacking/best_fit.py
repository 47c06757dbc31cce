"""Best-fit decreasing over counts: exactly the item-wise algorithm, in a time that does not depend on their number.

Item by item: take the items by descending length (equal lengths by ascending id); put each into the bin with the least
free space that still holds it, the bin opened first among equals; open a bin when none holds it.

Over counts: bins with the same free space are kept as ranges of consecutive indices. The fullest bin that takes an item
of size s stays the fullest eligible one until its free space falls below s, so it takes floor(free / s) of them at
once, and so does every bin of its range.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort

from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Packing, Placement


def best_fit_decreasing(histogram: Histogram, capacity: int, max_items: int = 0) -> Packing:
    """Pack `histogram` by best-fit decreasing.

    Args:
        histogram: The items, none longer than `capacity`.
        capacity: What a bin holds at most.
        max_items: Items a bin holds at most; 0 for any number.
    """
    bins = _OpenBins(capacity, max_items or histogram.num_items)
    placements: list[Placement] = []
    for size_index, (size, count) in enumerate(zip(histogram.sizes.tolist(), histogram.counts.tolist(), strict=True)):
        rank = 0
        while rank < count:
            first_bin, num_bins, free, slots = bins.pop_fullest(size)
            per_bin = min(free // size, slots)
            num_full = min(num_bins, (count - rank) // per_bin)
            if num_full == 0:
                num_full, per_bin = 1, count - rank
            placements.append(Placement(first_bin, num_full, size_index, per_bin, rank))
            rank += num_full * per_bin
            bins.push(first_bin, num_full, free - per_bin * size, slots - per_bin)
            bins.push(first_bin + num_full, num_bins - num_full, free, slots)
    return Packing(placements, bins.num_opened)


class _OpenBins:
    """Ranges of consecutive bins with equal free space and equal free slots, found by free space."""

    def __init__(self, capacity: int, max_items: int) -> None:
        self.capacity, self.max_items = capacity, max_items
        self.num_opened = 0
        self._free: list[int] = []  # ascending, the keys of _ranges
        self._ranges: dict[int, list[tuple[int, int, int]]] = {}  # free space -> heap of (first bin, bins, slots)

    def pop_fullest(self, size: int) -> tuple[int, int, int, int]:
        """Remove and return (first bin, bins, free, slots) of the best fit for `size`; new bins when nothing fits."""
        index = bisect_left(self._free, size)
        if index == len(self._free):
            return self.num_opened, 1 << 62, self.capacity, self.max_items
        free = self._free[index]
        ranges = self._ranges[free]
        first_bin, num_bins, slots = heapq.heappop(ranges)
        if not ranges:
            del self._free[index], self._ranges[free]
        return first_bin, num_bins, free, slots

    def push(self, first_bin: int, num_bins: int, free: int, slots: int) -> None:
        """Put a range back, unless it is empty, full, or the endless rest of the bins not yet opened."""
        if free == self.capacity:
            return
        self.num_opened = max(self.num_opened, first_bin + num_bins)
        if num_bins == 0 or free == 0 or slots == 0:
            return
        if free not in self._ranges:
            insort(self._free, free)
            self._ranges[free] = []
        heapq.heappush(self._ranges[free], (first_bin, num_bins, slots))
