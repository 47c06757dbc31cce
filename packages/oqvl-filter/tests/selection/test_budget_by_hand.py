"""Budgets, quotas and the balance against loops over samples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import ScoreConfig, SelectConfig
from oqvl_filter.selection.balancing import balance
from oqvl_filter.selection.budget import best_first, divide, first_of_each, fit_budget
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """One step of the published generator."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def uids_of(count: int) -> np.ndarray:
    return np.array([(number * 7919, number) for number in range(count)], dtype=UID_DTYPE)


samples = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.none() | st.integers(-3, 3)), min_size=1, max_size=25
)


def columns_of(rows: list[tuple[int, int, int | None]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = np.array([code for code, _, _ in rows], dtype=np.int16)
    costs = np.array([cost for _, cost, _ in rows], dtype=np.int64)
    values = np.array([np.nan if value is None else value for _, _, value in rows], dtype=np.float64)
    return codes, costs, values


@given(samples, st.integers(0, MASK))
def test_the_best_come_first_and_what_has_no_value_last(rows, seed: int):
    uids, (_, _, values) = uids_of(len(rows)), columns_of(rows)
    hashes = [splitmix64(high ^ splitmix64(low ^ splitmix64(seed))) for high, low in uids.tolist()]

    def place(row: int) -> tuple[bool, float, int]:
        value = rows[row][2]
        return (value is None, -(value or 0), hashes[row])

    assert best_first(uids, values, seed).tolist() == sorted(range(len(rows)), key=place)


@given(samples, st.integers(0, 60))
def test_a_budget_is_spent_greedily_in_order(rows, budget: int):
    codes, costs, values = columns_of(rows)
    order = best_first(uids_of(len(rows)), values, 3)
    kept, spent = [], 0
    for row in order.tolist():
        spent += rows[row][1]
        if spent > budget:
            break
        kept.append(row)
    assert fit_budget(order, codes, costs, budget, None).tolist() == kept


@given(samples, st.integers(0, 60), st.lists(st.integers(0, 4), min_size=3, max_size=3))
def test_a_divided_budget_is_spent_greedily_by_each_source(rows, budget: int, weights: list[int]):
    codes, costs, values = columns_of(rows)
    order = best_first(uids_of(len(rows)), values, 3)
    demands = [int(costs[codes == code].sum()) for code in range(3)]
    shares = divide(budget, demands, weights)
    expected = []
    spent, is_closed = [0] * 3, [False] * 3
    for row in order.tolist():
        code, cost, _ = rows[row]
        is_closed[code] |= spent[code] + cost > shares[code]
        if not is_closed[code]:
            spent[code] += cost
            expected.append(row)
    kept = fit_budget(order, codes, costs, budget, [float(weight) for weight in weights]).tolist()
    assert kept == expected
    assert sum(rows[row][1] for row in kept) <= budget


@given(samples, st.lists(st.none() | st.integers(0, 5), min_size=3, max_size=3))
def test_a_quota_keeps_the_first_of_its_source_and_their_order(rows, limits: list[int | None]):
    codes, _, values = columns_of(rows)
    order = best_first(uids_of(len(rows)), values, 3)
    seen, expected = [0] * 3, []
    for row in order.tolist():
        limit = limits[rows[row][0]]
        if limit is None or seen[rows[row][0]] < limit:
            expected.append(row)
        seen[rows[row][0]] += 1
    assert first_of_each(order, codes, limits).tolist() == expected


def water_level(budget: int, demands: list[int], weights: list[int]) -> list[Fraction]:
    """The exact shares: every source gets `weight x level`, or what it wants if that is less."""
    wanting = [(Fraction(demand, weight), demand, weight) for demand, weight in zip(demands, weights, strict=True)]
    left, weight_left = Fraction(budget), sum(weights)
    level = Fraction(0)
    for full_at, demand, weight in sorted(wanting):
        if full_at * weight_left <= left:
            left -= demand
            weight_left -= weight
    if weight_left:
        level = left / weight_left
    full = [full_at <= level or not weight_left for full_at, _, _ in wanting]
    return [
        Fraction(demand) if is_full else weight * level
        for (_, demand, weight), is_full in zip(wanting, full, strict=True)
    ]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1, max_size=5), st.integers(0, 120))
def test_a_share_is_off_the_exact_one_by_less_than_a_unit(sources: list[tuple[int, int]], budget: int):
    demands, weights = [demand for demand, _ in sources], [weight for _, weight in sources]
    shares = divide(budget, demands, [float(weight) for weight in weights])
    for share, exact in zip(shares, water_level(budget, demands, weights), strict=True):
        assert abs(share - exact) < 1


@given(st.permutations([(40, 1.0), (10, 2.5), (70, 0.5), (5, 1.0)]), st.integers(0, 130))
def test_the_order_of_sources_moves_a_share_by_one_unit_at_most(sources: list[tuple[int, float]], budget: int):
    ordered = sorted(sources)
    shares = dict(zip(sources, divide(budget, *map(list, zip(*sources, strict=True))), strict=True))  # type: ignore
    again = dict(zip(ordered, divide(budget, *map(list, zip(*ordered, strict=True))), strict=True))  # type: ignore
    assert all(abs(shares[source] - again[source]) <= 1 for source in sources)


entry_lists = st.lists(st.none() | st.lists(st.integers(0, 4), max_size=3, unique=True), min_size=1, max_size=20)


@settings(max_examples=60)
@given(entry_lists, st.data(), st.integers(1, 6), st.integers(0, 9))
def test_the_balance_draws_each_entry_of_each_caption_by_its_hash(entries, data, cap: int, seed: int):
    kept = data.draw(st.lists(st.booleans(), min_size=len(entries), max_size=len(entries)))
    column = pa.array([None if numbers is None else " ".join(map(str, numbers)) for numbers in entries], pa.string())
    hashes = hash_uids(uids_of(len(entries)), seed)
    stays, has_entry = balance(column, hashes, np.array(kept), cap)
    counts = [
        sum(number in (row or ()) for row, is_kept in zip(entries, kept, strict=True) if is_kept) for number in range(5)
    ]
    for row, numbers in enumerate(entries):
        taken = numbers if kept[row] and numbers else []
        draws = [splitmix64(int(hashes[row]) ^ splitmix64(number)) / 2**64 for number in taken]
        assert has_entry[row] == bool(taken)
        assert stays[row] == any(draw < cap / counts[number] for draw, number in zip(draws, taken, strict=True))


def test_spaces_around_entries_mean_nothing():
    hashes, kept = hash_uids(uids_of(3), 0), np.ones(3, dtype=bool)
    stays, has_entry = balance(pa.array([" 7  8 ", "  ", "18446744073709551615"]), hashes, kept, 5)
    assert stays.tolist() == has_entry.tolist() == [True, False, True]


@pytest.mark.parametrize("column", [pa.array(["a word"]), pa.array(["-1"]), pa.array(["1.5"]), pa.array([7])])
def test_a_column_without_entries_is_refused(column: pa.Array):
    with pytest.raises(ConfigError, match="expected numbers of metadata entries") as error:
        balance(column, np.zeros(1, np.uint64), np.ones(1, dtype=bool), 1)
    assert "scorer.name=metadata" in error.value.hint


def test_a_selection_balanced_by_another_column_says_so(make_pool, plain_pairs, tmp_path):
    pool = make_pool([plain_pairs(3)]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "rules"))
    values = {"pools": pool, "scores": {"r": tmp_path / "rules"}, "output": tmp_path / "s"}
    for column in ("caption_sha", "width"):
        config = SelectConfig.from_values({**values, "balance": {"column": column}})
        with pytest.raises(ConfigError, match=r"balance\.column: found"):
            run.select(config)
        assert not (tmp_path / "s" / "manifest.json").exists()


@pytest.mark.parametrize("seed", [2**64, -1])
def test_a_seed_is_a_word_of_64_bits(seed: int):
    assert SelectConfig.from_values({"output": "o", "seed": MASK}).seed == MASK
    with pytest.raises(ConfigError, match="seed"):
        SelectConfig.from_values({"output": "o", "seed": seed})
