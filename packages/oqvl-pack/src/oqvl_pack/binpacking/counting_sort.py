"""Sort items by length, and list the items of bins: the only two steps whose time grows with the number of items.

Both are counting sorts near the speed of memory. They run in compiled kernels on a few threads where there are many
items and numba works, and in numpy otherwise. The results are the same bit for bit, for any number of threads.
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

_MIN_COMPILED_COUNTS = 50_000_000  # items from which counting alone justifies the kernels; numpy takes ns per item
_MIN_THREADED_ITEMS = 100_000  # below this, starting threads takes longer than the work
_MAX_DENSE_LENGTH = 1 << 20  # longest length for which every possible length gets a counter
_MAX_THREADS = 8
_CHUNK_ITEMS = 1 << 20  # number of items that numpy handles together


def count_sizes(lengths: NDArray[np.integer], longest: int) -> Histogram:
    """Count how often each length occurs.

    Args:
        lengths: [N], each from 0 to `longest`.
        longest: The longest length.
    """
    if longest > _MAX_DENSE_LENGTH:
        sizes, counts = np.unique(lengths, return_counts=True)
        return Histogram(sizes[::-1].astype(np.int64), counts[::-1].astype(np.int64))
    kernels = compiled_kernels(len(lengths)) if len(lengths) >= _MIN_COMPILED_COUNTS else None
    return _dense_histogram(_count_dense(lengths, longest, kernels))


def sort_by_length(lengths: NDArray[np.integer], longest: int) -> tuple[Histogram, NDArray[np.unsignedinteger]]:
    """Count the lengths, and sort the items by length.

    Args:
        lengths: [N], each from 0 to `longest`.
        longest: The longest length.

    Returns:
        The histogram, and all item ids by ascending length, equal lengths by ascending id: uint32 for up to 2^32
        items, uint64 for more.
    """
    id_type = np.uint32 if len(lengths) <= 1 << 32 else np.uint64
    kernels = compiled_kernels(len(lengths))
    if kernels is None or longest > _MAX_DENSE_LENGTH:
        return count_sizes(lengths, longest), np.argsort(lengths, kind="stable").astype(id_type)
    counts = _count_dense(lengths, longest, kernels)
    # For each thread and length: the position of the first such item in the thread's range.
    num_of_length = counts.sum(axis=0)
    next_positions = np.cumsum(num_of_length) - num_of_length + np.cumsum(counts, axis=0) - counts
    order = np.empty(len(lengths), dtype=id_type)

    def sort(thread: int, begin: int, end: int) -> None:
        kernels.sort_ids(lengths[begin:end], begin, next_positions[thread], order)

    _run_in_threads(sort, len(lengths))
    return _dense_histogram(counts), order


def gather(
    order: NDArray[np.unsignedinteger], runs: Runs, bins: NDArray[np.int64], document_seed: int | None
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """List the item ids of `bins` in CSR form.

    Args:
        order: [N], item ids by position.
        runs: The packing.
        bins: int64 [B], the bins to list, in this order.
        document_seed: Seed of the shuffle inside every bin; None keeps the items as the algorithm placed them.

    Returns:
        (indices [items], offsets int64 [B + 1]): bin `bins[i]` holds `indices[offsets[i]:offsets[i + 1]]`.
    """
    run_of_bin = np.repeat(np.arange(len(runs.fill)), runs.bins_per_run)
    offsets = np.concatenate([[0], np.cumsum(runs.num_items[run_of_bin[bins]])])
    indices = np.empty(int(offsets[-1]), dtype=order.dtype)
    kernels = compiled_kernels(len(indices))

    def gather_compiled(_thread: int, begin: int, end: int) -> None:
        assert kernels is not None
        ids, id_offsets = indices[offsets[begin] : offsets[end]], offsets[begin : end + 1] - offsets[begin]
        entries = runs.entry_offsets, runs.entry_base, runs.entry_per_bin
        kernels.gather_bins(order, bins[begin:end], run_of_bin, *entries, ids)
        if document_seed is not None:
            keys = np.empty(int(np.diff(id_offsets).max(initial=0)), dtype=np.uint64)
            kernels.shuffle_bins(ids, id_offsets, np.uint64(start_of(document_seed)), keys)

    def gather_with_numpy(begin: int, end: int) -> None:
        ids = order[_positions(runs, run_of_bin, bins[begin:end])]
        if document_seed is not None:
            bin_of_item = np.repeat(np.arange(end - begin), np.diff(offsets[begin : end + 1]))
            ids = ids[np.lexsort((mix(ids, document_seed), bin_of_item))]
        indices[offsets[begin] : offsets[end]] = ids

    if kernels is None:
        for begin, end in _item_chunks(offsets):
            gather_with_numpy(begin, end)
    else:
        _run_in_threads(gather_compiled, len(bins))
    return indices, offsets


def _positions(runs: Runs, run_of_bin: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of all items of `bins`, in order."""
    run = run_of_bin[bins]
    entry = _ranges(runs.entry_offsets[run], np.diff(runs.entry_offsets)[run])
    bin_of_entry = np.repeat(bins, np.diff(runs.entry_offsets)[run])
    per_bin = runs.entry_per_bin[entry]
    return _ranges(runs.entry_base[entry] + bin_of_entry * per_bin, per_bin)


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate `arange(start, start + length)` for all pairs."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _count_dense(lengths: NDArray[np.integer], longest: int, kernels: ModuleType | None) -> NDArray[np.int64]:
    """Count lengths 0 to `longest` in the items of each thread, int64 [threads, longest + 1]."""
    counts = np.zeros((len(_thread_ranges(len(lengths))), longest + 1), dtype=np.int64)

    def count(thread: int, begin: int, end: int) -> None:
        if kernels is not None:
            kernels.count_lengths(lengths[begin:end], counts[thread])
            return
        for start in range(begin, end, _CHUNK_ITEMS):
            counts[thread] += np.bincount(lengths[start : min(start + _CHUNK_ITEMS, end)], minlength=longest + 1)

    _run_in_threads(count, len(lengths))
    return counts


def _dense_histogram(counts: NDArray[np.int64]) -> Histogram:
    num_of_length = counts.sum(axis=0)
    sizes = np.flatnonzero(num_of_length)[::-1]
    return Histogram(sizes, num_of_length[sizes])


def _thread_ranges(num: int) -> list[tuple[int, int]]:
    """Cut `range(num)` into one range per thread."""
    num_threads = _num_threads() if num >= _MIN_THREADED_ITEMS else 1
    return list(pairwise(num * thread // num_threads for thread in range(num_threads + 1)))


def _num_threads() -> int:
    num_available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_THREADS, num_available)


def _run_in_threads(function: Callable[[int, int, int], None], num: int) -> None:
    """Call `function(thread, begin, end)` for the range of each thread, and wait for all."""
    ranges = _thread_ranges(num)
    if len(ranges) == 1:
        function(0, *ranges[0])
        return
    with ThreadPoolExecutor(len(ranges)) as pool:
        futures = [pool.submit(function, thread, begin, end) for thread, (begin, end) in enumerate(ranges)]
        for future in futures:
            future.result()


def _item_chunks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut bins into ranges of about `_CHUNK_ITEMS` items, which keeps numpy's temporary arrays small."""
    begin = 0
    while begin < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[begin] + _CHUNK_ITEMS, side="right")) - 1
        end = max(end, begin + 1)
        yield begin, end
        begin = end
