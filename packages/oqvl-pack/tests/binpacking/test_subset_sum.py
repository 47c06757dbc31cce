"""Subset sums against itertools in one dimension, and against sets of pairs in two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import compiled, kernels
from oqvl_pack.binpacking.subset_sum import (
    BigIntegerTable,
    Cell,
    CompiledTable,
    Goal,
    SubsetSums,
    subset_sums,
)

MAX_TERMS = 12
TABLES = {"big integers": BigIntegerTable(), "compiled": CompiledTable(kernels, MAX_TERMS)}
"""Used again and again, as a search does: nothing of an earlier table may show."""

Case = tuple[int, int, list[tuple[int, int]], list[tuple[int, int, int]]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """(height, width, moves, goals)."""
    height, width = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 9, 63, 64, 65, 130, 300]))
    move = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    goal = st.tuples(st.integers(1, MAX_TERMS), st.integers(0, height - 1), st.integers(0, width - 1))
    goals = draw(st.lists(goal, max_size=3, unique_by=lambda one: one[0]))
    return height, width, draw(st.lists(move, max_size=MAX_TERMS)), sorted(goals)


def reach(height: int, width: int, moves: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """The cells that no term, one term ... all terms reach."""
    states = [{(0, 0)}]
    for rows, columns in moves:
        moved = {(row + rows, column + columns) for row, column in states[-1]}
        states.append(states[-1] | {(row, column) for row, column in moved if row < height and column < width})
    return states


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@given(case=cases())
def test_against_sets(table: SubsetSums, case: Case) -> None:
    height, width, moves, goals = case
    array = np.asarray(moves, dtype=np.int64).reshape(-1, 2)
    num_terms, found = table.fill(array, [Goal(*goal) for goal in goals], height=height, width=width)
    states = reach(height, width, moves)
    expected: tuple[int, tuple[int, int] | None] = len(moves), None
    for number in range(1, len(moves) + 1):
        holding = [goal for goal in goals if goal[0] <= number]
        row, column = holding[-1][1:] if holding else (height, width)
        enough = [cell for cell in states[number] if cell[0] >= row and cell[1] >= column]
        if enough:
            expected = number, max(enough)
            break
    assert (num_terms, found) == expected
    cells = states[num_terms]
    assert table.last_columns(num_terms) == [
        (row, max(column for of_row, column in cells if of_row == row)) for row in sorted({row for row, _ in cells})
    ]
    for cell in cells:
        chosen = table.terms_of(num_terms, Cell(*cell))
        assert tuple(array[chosen].sum(axis=0).tolist()) == cell
        # No term is used whose cell the terms before it reach without it.
        for index, term in enumerate(chosen.tolist()):
            assert tuple(array[chosen[: index + 1]].sum(axis=0).tolist()) not in states[term]


def test_the_compiled_table_pays_for_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(subset_sums(compiled.MIN_COMPILED_ITEMS - 1, 3), BigIntegerTable)
    assert isinstance(subset_sums(compiled.MIN_COMPILED_ITEMS, 3), CompiledTable)
    monkeypatch.setattr(compiled, "_import_kernels", lambda: None)
    assert isinstance(subset_sums(compiled.MIN_COMPILED_ITEMS, 3), BigIntegerTable)
