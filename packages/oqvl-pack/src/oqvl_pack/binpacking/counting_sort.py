"""From lengths to a histogram, and from runs to lists of item ids: the two steps whose time grows with the items.

Both are counting sorts near the speed of memory, in compiled kernels on a few threads when there are many items and
numba works, else in numpy. The results are the same to the bit, for any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.compiled import compiled_kernels
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Runs
from oqvl_pack.binpacking.shuffle import mix, start_of

_MIN_COMPILED_COUNTS = 50_000_000  # the same where they are only counted: numpy does that in some nanoseconds each

_MAX_DENSE_LENGTH = 1 << 20  # longest length counted in an array with one counter a length
_MAX_THREADS = 8
_MIN_THREADED_ITEMS = 100_000  # below, starting threads takes longer than the work
_CHUNK_ITEMS = 1 << 20


def count_sizes(lengths: NDArray[np.integer], longest: int) -> Histogram:
    """Count how often each length occurs.

    Args:
        lengths: [N], each from 1 to `longest`.
        longest: The longest length.
    """
    if longest > _MAX_DENSE_LENGTH:
        sizes, counts = np.unique(lengths, return_counts=True)
        return Histogram(sizes[::-1].astype(np.int64), counts[::-1].astype(np.int64))
    kernels = compiled_kernels(len(lengths)) if len(lengths) >= _MIN_COMPILED_COUNTS else None
    return _dense_histogram(_count_dense(lengths, longest, kernels))


def sort_by_length(lengths: NDArray[np.integer], longest: int) -> tuple[Histogram, NDArray[np.unsignedinteger]]:
    """Count the lengths and sort the items by them.

    Args:
        lengths: [N], each from 1 to `longest`.
        longest: The longest length.

    Returns:
        The histogram, and all item ids by ascending length, equal lengths by ascending id: uint32 up to 2^32 items,
        uint64 above.
    """
    id_type = np.uint32 if len(lengths) <= 1 << 32 else np.uint64
    kernels = compiled_kernels(len(lengths))
    if kernels is None or longest > _MAX_DENSE_LENGTH:
        return count_sizes(lengths, longest), np.argsort(lengths, kind="stable").astype(id_type)
    counts = _count_dense(lengths, longest, kernels)
    of_length = counts.sum(axis=0)
    next_positions = np.cumsum(of_length) - of_length + np.cumsum(counts, axis=0) - counts
    order = np.empty(len(lengths), dtype=id_type)

    def sort(part: int, begin: int, end: int) -> None:
        kernels.sort_ids(lengths[begin:end], begin, next_positions[part], order)

    _for_each_part(sort, len(lengths))
    return _dense_histogram(counts), order


def gather(
    order: NDArray[np.unsignedinteger], runs: Runs, bins: NDArray[np.int64], document_seed: int | None
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """List the item ids of `bins`, in CSR form.

    Args:
        order: Item ids by position, [N].
        runs: The packing.
        bins: int64 [B], the bins to list, in this order.
        document_seed: Seed of the shuffle inside every bin; None leaves the items as the algorithm placed them.

    Returns:
        (indices [items], offsets int64 [B + 1]): bin `bins[i]` holds `indices[offsets[i]:offsets[i + 1]]`.
    """
    run_of_bin = np.repeat(np.arange(len(runs.fill)), runs.bins_per_run)
    offsets = np.concatenate([[0], np.cumsum(runs.num_items[run_of_bin[bins]])])
    indices = np.empty(int(offsets[-1]), dtype=order.dtype)
    kernels = compiled_kernels(len(indices))

    def gather_part(_part: int, begin: int, end: int) -> None:
        taken = indices[offsets[begin] : offsets[end]]
        part_offsets = offsets[begin : end + 1] - offsets[begin]
        if kernels is None:
            taken[:] = order[_positions(runs, run_of_bin, bins[begin:end])]
        else:
            kernels.gather_bins(
                order, bins[begin:end], run_of_bin, runs.entry_offsets, runs.entry_base, runs.entry_per_bin, taken
            )
        if document_seed is None:
            return
        if kernels is None:
            bin_of_item = np.repeat(np.arange(end - begin), np.diff(part_offsets))
            taken[:] = taken[np.lexsort((mix(taken, document_seed), bin_of_item))]
        else:
            keys = np.empty(int(np.diff(part_offsets).max(initial=0)), dtype=np.uint64)
            kernels.shuffle_bins(taken, part_offsets, np.uint64(start_of(document_seed)), keys)

    if kernels is None:
        for begin, end in _item_chunks(offsets):
            gather_part(0, begin, end)
    else:
        _for_each_part(gather_part, len(bins))
    return indices, offsets


def _positions(runs: Runs, run_of_bin: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of all items of `bins`, in order."""
    run = run_of_bin[bins]
    entry = _ranges(runs.entry_offsets[run], np.diff(runs.entry_offsets)[run])
    bin_of_entry = np.repeat(bins, np.diff(runs.entry_offsets)[run])
    per_bin = runs.entry_per_bin[entry]
    return _ranges(runs.entry_base[entry] + bin_of_entry * per_bin, per_bin)


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate `arange(start, start + length)` over all pairs."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _count_dense(lengths: NDArray[np.integer], longest: int, kernels: ModuleType | None) -> NDArray[np.int64]:
    """Count lengths 0 ... `longest` in each part of the items, int64 [parts, longest + 1]."""
    counts = np.zeros((len(_parts(len(lengths))), longest + 1), dtype=np.int64)

    def count(part: int, begin: int, end: int) -> None:
        if kernels is not None:
            kernels.count_lengths(lengths[begin:end], counts[part])
            return
        for start in range(begin, end, _CHUNK_ITEMS):
            counts[part] += np.bincount(lengths[start : min(start + _CHUNK_ITEMS, end)], minlength=longest + 1)

    _for_each_part(count, len(lengths))
    return counts


def _dense_histogram(counts: NDArray[np.int64]) -> Histogram:
    of_length = counts.sum(axis=0)
    sizes = np.flatnonzero(of_length)[::-1]
    return Histogram(sizes, of_length[sizes])


def _parts(num: int) -> list[tuple[int, int]]:
    """Cut `range(num)` into one part a thread."""
    num_parts = _num_threads() if num >= _MIN_THREADED_ITEMS else 1
    bounds = [num * part // num_parts for part in range(num_parts + 1)]
    return list(pairwise(bounds))


def _num_threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_THREADS, available)


def _for_each_part(function: Callable[[int, int, int], None], num: int) -> None:
    parts = _parts(num)
    if len(parts) == 1:
        function(0, *parts[0])
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        for future in [pool.submit(function, part, *bounds) for part, bounds in enumerate(parts)]:
            future.result()


def _item_chunks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut bins into ranges of about `_CHUNK_ITEMS` items, so that numpy's temporaries stay small."""
    begin = 0
    while begin < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[begin] + _CHUNK_ITEMS, side="right")) - 1
        end = max(end, begin + 1)
        yield begin, end
        begin = end
