"""The compiled loops, and the only module that imports numba.

Each has an equal in `emission`, in numpy, with the same results; these run when there are enough items to pay for the
import. All release the GIL, so a pool of threads can share one job.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np

if getattr(numba.config, "DISABLE_JIT", False):
    raise ImportError("numba is disabled by NUMBA_DISABLE_JIT", name="numba")


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, or take it from numba's cache where that works."""
    try:
        compiled = numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # no place to cache in: a read-only or zipped installation
        return numba.njit(function, nogil=True)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal compiled
        try:
            return compiled(*arguments)
        except Exception:  # a damaged file in the cache, or no room for another: before the loop, which raises nothing
            compiled = numba.njit(function, nogil=True)
            return compiled(*arguments)

    return call


@_compile
def count_lengths(lengths, counts):
    """Add the number of items of each length to `counts`."""
    for length in lengths:
        counts[length] += 1


@_compile
def sort_ids(lengths, first_id, next_positions, order):
    """Write the id of each item to `order`, at its length's next position, which moves on by one."""
    for index in range(len(lengths)):
        length = lengths[index]
        order[next_positions[length]] = first_id + index
        next_positions[length] += 1


@_compile
def gather_bins(order, bins, run_of_bin, entry_offsets, entry_base, entry_per_bin, indices):
    """Write the item ids of `bins`, one bin after another, to `indices`."""
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
    """Sort the ids of each bin by `oqvl_pack.binpacking.shuffle.mix`, with `keys` as scratch space for the largest bin.

    Shell's sort with the gaps of Ciura, *Best increments for the average case of shellsort* (2001).
    """
    for bin_index in range(len(offsets) - 1):
        items = indices[offsets[bin_index] : offsets[bin_index + 1]]
        for index in range(len(items)):
            z = np.uint64(items[index]) * np.uint64(0x9E3779B97F4A7C15) + start
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            keys[index] = z ^ (z >> np.uint64(31))
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
    """Fill `states[t]`, the cells that t terms reach, until one of the goal's is reachable.

    Args:
        moves: [T, 2], rows and columns that each term moves cells by.
        goals: [G, 3], terms from which a goal holds, its first row and column.
        width: Columns that count.
        states: uint64 [more than T, rows, words], 64 columns a word.

    Returns:
        The number of terms added, and row and column of the goal's last reachable cell, or -1, -1.
    """
    states[0] = 0
    states[0, 0, 0] = 1
    height, num_words = states.shape[1:]
    goal = -1
    for term in range(len(moves)):
        before, after = states[term], states[term + 1]
        rows, words, bits = moves[term, 0], moves[term, 1] // 64, np.uint64(moves[term, 1] % 64)
        after[:] = before
        for row in range(rows, height):
            for word in range(words, num_words):
                after[row, word] |= before[row - rows, word - words] << bits
            if bits:
                for word in range(words + 1, num_words):
                    after[row, word] |= before[row - rows, word - words - 1] >> (np.uint64(64) - bits)
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
    """Set in `chosen`, bool [T], the terms that make a cell which the first `num_terms` terms reach; late ones seldom.

    Args:
        moves: As for `fill_table`.
        states: As `fill_table` left it.
        num_terms: Terms that were added.
        row: Row of the cell.
        column: Column of the cell.
        chosen: All False.
    """
    for term in range(num_terms - 1, -1, -1):
        if not states[term, row, column // 64] >> np.uint64(column % 64) & np.uint64(1):
            chosen[term] = True
            row -= moves[term, 0]
            column -= moves[term, 1]
