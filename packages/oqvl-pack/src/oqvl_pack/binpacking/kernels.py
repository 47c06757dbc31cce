"""The compiled loops, and the only module that imports numba.

`counting_sort` and `subset_sum` hold numpy versions that give the same results. The kernels run when there are enough
items to repay the import; `compiled` decides. All of them release the GIL, so a pool of threads can share one job.

Shapes: N items, B bins, R runs, E entries (one size in one run, see `oqvl_pack.binpacking.placement.Runs`), T terms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np

from oqvl_pack.binpacking.shuffle import sort_key

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("numba is disabled by NUMBA_DISABLE_JIT", name="numba")

_sort_key = numba.njit(sort_key, nogil=True)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, or load it from numba's cache.

    The cache can fail in two ways, and neither may stop a run: numba finds no directory to write to (a read-only or
    zipped installation), or a cached file is damaged or the disk is full. Both fall back to compiling in memory.
    """
    try:
        compiled = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # no directory for the cache
        return numba.njit(function, nogil=True)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal compiled
        try:
            return compiled(*arguments)
        except Exception:  # the cache failed before the loop began; the loops themselves raise nothing
            compiled = numba.njit(function, nogil=True)
            return compiled(*arguments)

    return call


@_compile
def count_lengths(lengths, counts):
    """Add the number of items of each length to `counts`.

    Args:
        lengths: [N] of any unsigned integer type, each below L.
        counts: int64 [L], updated in place.
    """
    for length in lengths:
        counts[length] += 1


@_compile
def sort_ids(lengths, first_id, next_positions, order):
    """Write the id of each item to the next free position of its length.

    Args:
        lengths: [N] of any unsigned integer type, each below L.
        first_id: int, id of the first of these items; the others follow.
        next_positions: int64 [L], next free position of each length in `order`, advanced in place.
        order: uint32 or uint64, one entry per item of the whole job, written in place.
    """
    for index in range(len(lengths)):
        length = lengths[index]
        order[next_positions[length]] = first_id + index
        next_positions[length] += 1


@_compile
def gather_bins(order, bins, run_of_bin, entry_offsets, entry_base, entry_per_bin, indices):
    """Write the item ids of `bins` to `indices`, one bin after another.

    Args:
        order: uint32 or uint64 [N], item ids by position.
        bins: int64, numbers of the bins to list, in this order.
        run_of_bin: int64 [B], the run that each bin belongs to.
        entry_offsets: int64 [R + 1], where each run's entries begin.
        entry_base: int64 [E], see `Runs.entry_base`.
        entry_per_bin: int64 [E], items that each entry puts into one bin.
        indices: Same type as `order`, one entry per item of `bins`, written in place.
    """
    written = 0
    for bin_index in bins:
        run = run_of_bin[bin_index]
        for entry in range(entry_offsets[run], entry_offsets[run + 1]):
            per_bin = entry_per_bin[entry]
            position = entry_base[entry] + bin_index * per_bin
            for item in range(per_bin):
                indices[written + item] = order[position + item]
            written += per_bin


@_compile
def shuffle_bins(indices, offsets, start, keys):
    """Sort the ids of each bin by `oqvl_pack.binpacking.shuffle.sort_key`.

    Shell's sort with the gaps of Ciura, *Best increments for the average case of shellsort* (2001).

    Args:
        indices: uint32 or uint64, ids of all bins, one bin after another, sorted in place.
        offsets: int64 [B + 1], where each bin begins in `indices`.
        start: uint64, `start_of` the seed.
        keys: uint64, scratch space with as many entries as the largest bin has items.
    """
    for bin_index in range(len(offsets) - 1):
        items = indices[offsets[bin_index] : offsets[bin_index + 1]]
        for index in range(len(items)):
            keys[index] = _sort_key(np.uint64(items[index]), start)
        for gap in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
            for index in range(gap, len(items)):
                key, item = keys[index], items[index]
                hole = index
                while hole >= gap and keys[hole - gap] > key:
                    keys[hole], items[hole] = keys[hole - gap], items[hole - gap]
                    hole -= gap
                keys[hole], items[hole] = key, item


@_compile
def fill_table(moves, goals, width, states):
    """Add terms until a cell of the current goal is reachable; see `oqvl_pack.binpacking.subset_sum`.

    Args:
        moves: int64 [T, 2], the rows and columns by which each term moves cells.
        goals: int64 [G, 3], ascending: the number of terms from which a goal holds, its first row and first column.
        width: int, columns of the table; bits beyond them in the last word are ignored.
        states: uint64 [more than T, rows, words], 64 columns per word. `states[t]` becomes the cells that the first t
            terms reach.

    Returns:
        (terms added, row, column) with the last reachable cell of the goal, or -1, -1 if no goal was reached.
    """
    states[0] = 0
    states[0, 0, 0] = 1
    height, num_words = states.shape[1:]
    goal = -1
    for term in range(len(moves)):
        # Every cell stays reachable, and moves by the term's rows and columns.
        before, after = states[term], states[term + 1]
        rows, words, bits = moves[term, 0], moves[term, 1] // 64, np.uint64(moves[term, 1] % 64)
        after[:] = before
        for row in range(rows, height):
            for word in range(words, num_words):
                after[row, word] |= before[row - rows, word - words] << bits
            if bits:
                for word in range(words + 1, num_words):
                    after[row, word] |= before[row - rows, word - words - 1] >> (np.uint64(64) - bits)
        # Look for a cell of the goal that holds by now, the last row and column first.
        if goal + 1 < len(goals) and goals[goal + 1, 0] == term + 1:
            goal += 1
        if goal < 0:
            continue
        for row in range(height - 1, goals[goal, 1] - 1, -1):
            for word in range(num_words - 1, goals[goal, 2] // 64 - 1, -1):
                if after[row, word]:
                    for column in range(min(64 * word + 64, width) - 1, max(64 * word, goals[goal, 2]) - 1, -1):
                        if after[row, word] >> np.uint64(column - 64 * word) & np.uint64(1):
                            return term + 1, row, column
    return len(moves), -1, -1


@_compile
def trace_terms(moves, states, num_terms, row, column, chosen):
    """Mark terms that together make one reachable cell, preferring early terms.

    Args:
        moves: int64 [T, 2], as for `fill_table`.
        states: uint64 [more than T, rows, words], as `fill_table` left it.
        num_terms: int, number of terms that were added.
        row: int, row of the cell.
        column: int, column of the cell.
        chosen: bool [T], all False; the terms of the cell become True.
    """
    for term in range(num_terms - 1, -1, -1):
        # A cell that was reachable before the term does not need it.
        if not states[term, row, column // 64] >> np.uint64(column % 64) & np.uint64(1):
            chosen[term] = True
            row -= moves[term, 0]
            column -= moves[term, 1]
