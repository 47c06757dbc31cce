"""Subset sums: find the sums that some items can reach, and the items that reach them.

`largest_sum` answers for one dimension, with a big integer whose bit i says whether the sum i is reachable. In two
dimensions the sums are a table with a row per weight and a column per length.

A *term* is a number of items of one type that are taken together or not at all. A cell (row, column) is reachable if
some of the terms so far add up to that weight and that length. Every term moves all reachable cells down by its weight
and right by its length, and the cells that were reachable remain so. Terms are added until a cell of the goal is
reachable. The table before each term is kept, to trace the terms of any cell back.

There are two such tables with the same results: `BigIntegerTable` needs numpy only, `CompiledTable` is faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.compiled import compiled_kernels

_WORD_BITS = 64


def largest_sum(lengths: Iterable[int], room: int) -> list[int]:
    """Return the indices of the lengths with the largest sum up to `room`, preferring early ones.

    Each length costs one shift of `room` bits and keeps one big integer of that size, so callers should limit both.

    Args:
        lengths: Positive integers; those above `room` are never chosen.
        room: The most that they may add up to.

    Returns:
        Indices in descending order. An index is chosen only if the earlier ones cannot reach the sum without it.
    """
    within = (1 << (room + 1)) - 1
    reachable = 1  # bit i: some of the lengths so far add up to i
    candidates: list[tuple[int, int, int]] = []  # index, length, what was reachable before it
    for index, length in enumerate(lengths):
        if length > room:
            continue
        candidates.append((index, length, reachable))
        reachable |= (reachable << length) & within
        if reachable >> room:
            break
    total = reachable.bit_length() - 1
    chosen = []
    for index, length, reachable_before in reversed(candidates):
        if not reachable_before >> total & 1:
            chosen.append(index)
            total -= length
    return chosen


class Cell(NamedTuple):
    """A sum of weights (row) and a sum of lengths (column)."""

    row: int
    column: int


class Goal(NamedTuple):
    """The cells that are good enough once `num_terms` terms have been added: those at or beyond `row` and `column`."""

    num_terms: int
    row: int
    column: int


class SubsetSums(Protocol):
    """A table that can be filled many times."""

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], *, height: int, width: int
    ) -> tuple[int, Cell | None]:
        """Start from cell (0, 0) alone, and add terms until a goal's cell is reachable.

        Args:
            moves: int64 [T, 2], the rows (fewer than `height`) and columns (fewer than `width`) by which each term
                moves cells.
            goals: By ascending `num_terms`; each replaces the one before.
            height: Number of rows.
            width: Number of columns.

        Returns:
            The number of terms that were added, and the goal's last reachable cell, or None if there is none.
        """
        ...

    def terms_of(self, num_terms: int, cell: Cell) -> NDArray[np.int64]:
        """Return which of the first `num_terms` terms make a reachable cell, preferring early terms."""
        ...

    def last_columns(self, num_terms: int) -> list[Cell]:
        """Return the last reachable cell of every row in which the first `num_terms` terms reach a cell."""
        ...


def subset_sums(num_items: int, max_terms: int) -> SubsetSums:
    """Return the faster table for packing `num_items` items, with at most `max_terms` terms per search."""
    kernels = compiled_kernels(num_items)
    return BigIntegerTable() if kernels is None else CompiledTable(kernels, max_terms)


class BigIntegerTable:
    """The whole table as one big integer: row w, column l is bit `w * stride + l`.

    A row is twice as wide as the table, so a shift cannot run into the next row, and a mask clears what is beyond the
    last column.
    """

    def __init__(self) -> None:
        self._first_columns: dict[tuple[int, int], int] = {}

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], *, height: int, width: int
    ) -> tuple[int, Cell | None]:
        """See `SubsetSums.fill`."""
        self._stride = -(-2 * width // 512) * 512
        self._shifts = (moves @ [self._stride, 1]).tolist()
        first_column = self._first_column(height)
        cells = (first_column << width) - first_column
        self._states = [1]
        goal_cells = reached = 0
        goal_of = {goal.num_terms: goal for goal in goals}
        for num_terms, shift in enumerate(self._shifts, 1):
            self._states.append(self._states[-1] | (self._states[-1] << shift) & cells)
            if num_terms in goal_of:
                goal = goal_of[num_terms]
                rows = first_column >> (self._stride * goal.row) << (self._stride * goal.row)
                goal_cells = (rows << width) - (rows << goal.column)
            reached = self._states[-1] & goal_cells
            if reached:
                break
        last = Cell(*divmod(reached.bit_length() - 1, self._stride)) if reached else None
        return len(self._states) - 1, last

    def terms_of(self, num_terms: int, cell: Cell) -> NDArray[np.int64]:
        """See `SubsetSums.terms_of`."""
        bit, chosen = cell.row * self._stride + cell.column, []
        for term in reversed(range(num_terms)):
            # A cell that was reachable before the term does not need it.
            if not self._states[term] >> bit & 1:
                chosen.append(term)
                bit -= self._shifts[term]
        return np.asarray(chosen[::-1], dtype=np.int64)

    def last_columns(self, num_terms: int) -> list[Cell]:
        """See `SubsetSums.last_columns`."""
        state, mask = self._states[num_terms], (1 << self._stride) - 1
        lengths = [(state >> first & mask).bit_length() for first in range(0, state.bit_length(), self._stride)]
        return [Cell(row, length - 1) for row, length in enumerate(lengths) if length]

    def _first_column(self, height: int) -> int:
        """Return the cells of the first column."""
        key = self._stride, height
        if key not in self._first_columns:
            self._first_columns[key] = sum(1 << (self._stride * row) for row in range(height))
        return self._first_columns[key]


class CompiledTable:
    """The table as words: row w, column l is bit l % 64 of the row's word l // 64.

    Bits after the last column are noise.

    Args:
        kernels: `oqvl_pack.binpacking.kernels`.
        max_terms: Most terms per search.
    """

    def __init__(self, kernels: ModuleType, max_terms: int) -> None:
        self._kernels, self._max_terms = kernels, max_terms
        self._memory = np.empty(0, dtype=np.uint64)

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], *, height: int, width: int
    ) -> tuple[int, Cell | None]:
        """See `SubsetSums.fill`."""
        shape = (self._max_terms + 1, height, -(-width // _WORD_BITS))
        num_words = shape[0] * shape[1] * shape[2]
        if len(self._memory) < num_words:
            self._memory = np.empty(num_words, dtype=np.uint64)
        self._moves, self._width, self._states = moves, width, self._memory[:num_words].reshape(shape)
        table = np.asarray(goals, dtype=np.int64).reshape(-1, 3)
        num_terms, row, column = self._kernels.fill_table(moves, table, width, self._states)
        return num_terms, Cell(row, column) if row >= 0 else None

    def terms_of(self, num_terms: int, cell: Cell) -> NDArray[np.int64]:
        """See `SubsetSums.terms_of`."""
        chosen = np.zeros(num_terms, dtype=np.bool_)
        self._kernels.trace_terms(self._moves, self._states, num_terms, cell.row, cell.column, chosen)
        return np.flatnonzero(chosen)

    def last_columns(self, num_terms: int) -> list[Cell]:
        """See `SubsetSums.last_columns`."""
        mask = (1 << self._width) - 1
        rows = self._states[num_terms].astype("<u8")
        lengths = [(int.from_bytes(row.tobytes(), "little") & mask).bit_length() for row in rows]
        return [Cell(row, length - 1) for row, length in enumerate(lengths) if length]
