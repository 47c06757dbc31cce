"""Subset sums against itertools in one dimension, and against sets of pairs in two."""

from __future__ import annotations

from itertools import combinations

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
    largest_sum,
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


@given(st.lists(st.integers(1, 40), max_size=10), st.integers(0, 120))
def test_largest_sum_against_all_combinations(lengths: list[int], room: int) -> None:
    chosen = largest_sum(lengths, room)
    sums = [sum(some) for num in range(len(lengths) + 1) for some in combinations(lengths, num) if sum(some) <= room]
    assert sum(lengths[index] for index in chosen) == max(sums)
    assert chosen == sorted(set(chosen), reverse=True)


@given(st.lists(st.integers(1, 40), max_size=10), st.integers(0, 120))
def test_largest_sum_prefers_early_lengths(lengths: list[int], room: int) -> None:
    chosen = largest_sum(lengths, room)
    total = sum(lengths[index] for index in chosen)
    # The last index is as small as it can be: no earlier lengths alone add up to the same.
    earlier = lengths[: chosen[0]] if chosen else []
    assert total not in {sum(some) for num in range(len(earlier) + 1) for some in combinations(earlier, num)} - {0}


@pytest.mark.parametrize(
    ("lengths", "room", "chosen"),
    [
        ([], 5, []),
        ([6, 7], 5, []),
        ([3, 4, 5], 0, []),
        ([5, 5, 5], 10, [1, 0]),
        ([9, 4, 6], 10, [2, 1]),
        ([7, 3, 7, 3], 10, [1, 0]),
        ([1 << 20, 1], 1 << 20, [0]),
    ],
)
def test_known_largest_sums(lengths: list[int], room: int, chosen: list[int]) -> None:
    assert largest_sum(lengths, room) == chosen


def test_a_table_forgets_the_search_before() -> None:
    for table in (BigIntegerTable(), CompiledTable(kernels, MAX_TERMS)):
        wide = np.asarray([[1, 100], [2, 50]])
        assert table.fill(wide, [Goal(1, 3, 150)], height=4, width=200) == (2, Cell(3, 150))
        narrow = np.asarray([[0, 1]])
        assert table.fill(narrow, [Goal(1, 1, 1)], height=2, width=2) == (1, None)
        assert table.last_columns(1) == [Cell(0, 1)]
        assert table.fill(np.zeros((0, 2), dtype=np.int64), [], height=1, width=1) == (0, None)
        assert table.last_columns(0) == [Cell(0, 0)]


def test_sums_stop_at_the_first_goal_that_is_reached() -> None:
    moves = np.asarray([[0, 3], [0, 3], [0, 3], [0, 3]])
    goals = [Goal(1, 0, 9), Goal(3, 0, 5)]
    for table in (BigIntegerTable(), CompiledTable(kernels, MAX_TERMS)):
        # After two terms 6 would do, but that goal holds from the third term on, when 9 is reached as well.
        assert table.fill(moves, goals, height=1, width=20) == (3, Cell(0, 9))
        assert table.terms_of(3, Cell(0, 9)).tolist() == [0, 1, 2]
        assert table.terms_of(3, Cell(0, 6)).tolist() == [0, 1]
        assert table.terms_of(3, Cell(0, 0)).tolist() == []
