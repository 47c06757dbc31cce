"""What items can add up to in two capacities: a table of bits, a row for each weight and a column for each length.

A *term* is some items of one type. With every term all reachable cells move down by its weight and to the right by its
length, and are reachable besides those that were. Terms are added until a cell of the goal is reachable; what was
reachable before each of them is kept, so that the terms of any cell can be found.

There are two tables with the same results: of big integers, and of words that a compiled loop fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.compiled import compiled_kernels

_WORD_BITS = 64


class Goal(NamedTuple):
    """The cells that suffice from `num_terms` terms on: those at or beyond `row` and `column`."""

    num_terms: int
    row: int
    column: int


class ReachableCells(Protocol):
    """A table that is filled again and again."""

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], height: int, width: int
    ) -> tuple[int, tuple[int, int] | None]:
        """Begin with cell (0, 0) alone, and add terms until a goal's cell is reachable.

        Args:
            moves: [T, 2], rows (fewer than `height`) and columns (fewer than `width`) that each term moves cells by.
            goals: By ascending `num_terms`; each replaces the one before.
            height: Rows.
            width: Columns.

        Returns:
            The number of terms that were added, and (row, column) of the goal's last cell that is reachable, None when
            none is.
        """
        ...

    def terms_of(self, num_terms: int, row: int, column: int) -> NDArray[np.int64]:
        """Return terms, among the first `num_terms`, that make a cell which these reach; early ones preferred."""
        ...

    def last_columns(self, num_terms: int) -> list[tuple[int, int]]:
        """Return (row, last column) of every row in which the first `num_terms` terms reach a cell."""
        ...


def reachable_cells(num_items: int, max_terms: int) -> ReachableCells:
    """Return the table that pays for packing so many items, with at most `max_terms` terms."""
    kernels = compiled_kernels(num_items)
    return BigIntegerTable() if kernels is None else CompiledTable(kernels, max_terms)


class BigIntegerTable:
    """Row w, column l is bit `w * stride + l`.

    A row is twice as wide as the table, so that a shift cannot run into the next row, and a mask clears what is beyond.
    """

    def __init__(self) -> None:
        self._combs: dict[tuple[int, int], int] = {}

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], height: int, width: int
    ) -> tuple[int, tuple[int, int] | None]:
        """See `ReachableCells.fill`."""
        self._stride = -(-2 * width // 512) * 512
        self._shifts = (moves @ [self._stride, 1]).tolist()
        comb = self._comb(height)
        cells = (comb << width) - comb
        self._states = [1]
        goal_cells = found = 0
        goal_of = {goal.num_terms: goal for goal in goals}
        for num_terms, shift in enumerate(self._shifts, 1):
            self._states.append(self._states[-1] | (self._states[-1] << shift) & cells)
            if num_terms in goal_of:
                _, row, column = goal_of[num_terms]
                rows = comb >> (self._stride * row) << (self._stride * row)
                goal_cells = (rows << width) - (rows << column)
            found = self._states[-1] & goal_cells
            if found:
                break
        return len(self._states) - 1, divmod(found.bit_length() - 1, self._stride) if found else None

    def terms_of(self, num_terms: int, row: int, column: int) -> NDArray[np.int64]:
        """See `ReachableCells.terms_of`."""
        cell, chosen = row * self._stride + column, []
        for term in reversed(range(num_terms)):
            if not self._states[term] >> cell & 1:
                chosen.append(term)
                cell -= self._shifts[term]
        return np.asarray(chosen[::-1], dtype=np.int64)

    def last_columns(self, num_terms: int) -> list[tuple[int, int]]:
        """See `ReachableCells.last_columns`."""
        state, mask = self._states[num_terms], (1 << self._stride) - 1
        lengths = [(state >> first & mask).bit_length() for first in range(0, state.bit_length(), self._stride)]
        return [(row, length - 1) for row, length in enumerate(lengths) if length]

    def _comb(self, height: int) -> int:
        """Return the first bit of every row."""
        key = self._stride, height
        if key not in self._combs:
            self._combs[key] = sum(1 << (self._stride * row) for row in range(height))
        return self._combs[key]


class CompiledTable:
    """Row w, column l is bit l % 64 of the row's word l // 64; what lies behind the last column does not count.

    Args:
        kernels: `oqvl_pack.binpacking.kernels`.
        max_terms: Terms that are added at most.
    """

    def __init__(self, kernels: ModuleType, max_terms: int) -> None:
        self._kernels, self._max_terms = kernels, max_terms
        self._memory = np.empty(0, dtype=np.uint64)

    def fill(
        self, moves: NDArray[np.int64], goals: Sequence[Goal], height: int, width: int
    ) -> tuple[int, tuple[int, int] | None]:
        """See `ReachableCells.fill`."""
        shape = (self._max_terms + 1, height, -(-width // _WORD_BITS))
        num_words = shape[0] * shape[1] * shape[2]
        if len(self._memory) < num_words:
            self._memory = np.empty(num_words, dtype=np.uint64)
        self._moves, self._width, self._states = moves, width, self._memory[:num_words].reshape(shape)
        table = np.asarray(goals, dtype=np.int64).reshape(-1, 3)
        num_terms, row, column = self._kernels.fill_table(moves, table, width, self._states)
        return num_terms, (row, column) if row >= 0 else None

    def terms_of(self, num_terms: int, row: int, column: int) -> NDArray[np.int64]:
        """See `ReachableCells.terms_of`."""
        chosen = np.zeros(num_terms, dtype=np.bool_)
        self._kernels.trace_terms(self._moves, self._states, num_terms, row, column, chosen)
        return np.flatnonzero(chosen)

    def last_columns(self, num_terms: int) -> list[tuple[int, int]]:
        """See `ReachableCells.last_columns`."""
        mask = (1 << self._width) - 1
        rows = self._states[num_terms].astype("<u8")
        lengths = [(int.from_bytes(row.tobytes(), "little") & mask).bit_length() for row in rows]
        return [(row, length - 1) for row, length in enumerate(lengths) if length]
