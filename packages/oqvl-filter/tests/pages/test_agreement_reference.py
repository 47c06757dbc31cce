"""Comparisons of columns against their definitions, sample by sample."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.pages.agreement import NUM_BINS, decile_of, histogram, mean_ranks, rank_correlation, top_overlap

small = st.none() | st.integers(-3, 3)
tables = st.lists(st.tuples(small, small), min_size=1, max_size=12)


def column(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def both_of(table: list[tuple]) -> list[tuple]:
    return [row for row in table if None not in row]


def doubled_rank(values: list[int], value: int) -> int:
    """Twice the mean rank of a value: the values below it twice, and the others equal to it once."""
    return 2 * sum(other < value for other in values) + sum(other == value for other in values) - 1


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_a_rank_is_the_number_of_smaller_values_and_half_of_the_equal_ones(values: list[int]):
    assert (2 * mean_ranks(column(values))).tolist() == [doubled_rank(values, value) for value in values]


@given(tables)
def test_spearman_is_pearson_of_the_ranks_in_whole_numbers(table: list[tuple]):
    both = both_of(table)
    firsts, seconds = [row[0] for row in both], [row[1] for row in both]
    x = [doubled_rank(firsts, value) - (len(both) - 1) for value in firsts]
    y = [doubled_rank(seconds, value) - (len(both) - 1) for value in seconds]
    covariance = sum(a * b for a, b in zip(x, y, strict=True))
    variances = sum(a * a for a in x) * sum(b * b for b in y)
    measured = rank_correlation(column([row[0] for row in table]), column([row[1] for row in table]))
    if not variances:
        assert measured is None
    else:
        assert measured is not None
        assert measured == pytest.approx(covariance / variances**0.5, abs=1e-12)
        assert abs(measured) <= 1 + 1e-12


@given(tables, st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_the_overlap_is_of_the_sets_of_best_samples(table: list[tuple], fraction: float):
    both = both_of(table)
    num_best = int(fraction * len(both))
    best = [
        set(sorted(range(len(both)), key=lambda row, side=side: (-both[row][side], row))[:num_best]) for side in (0, 1)
    ]
    first, second = column([row[0] for row in table]), column([row[1] for row in table])
    measured = top_overlap(first, second, fraction)
    assert measured == (len(best[0] & best[1]) / num_best if num_best else None)
    assert measured == top_overlap(second, first, fraction)


def test_unrelated_columns_overlap_by_the_fraction():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 20_000))
    # The share of 6,000 picks from 20,000 that hit 6,000: standard deviation sqrt(.3 x .7 x .7 / 6000) = 0.005.
    assert top_overlap(first, second, 0.3) == pytest.approx(0.3, abs=0.02)
    correlation = rank_correlation(first, second)
    assert correlation is not None and abs(correlation) < 4 / 20_000**0.5


@given(st.lists(small, min_size=1, max_size=35))
def test_a_decile_is_ten_times_the_share_of_samples_before(values: list[int | None]):
    known = [row for row, value in enumerate(values) if value is not None]
    order = sorted(known, key=lambda row: (values[row], row))
    expected = [-1] * len(values)
    for place, row in enumerate(order):
        expected[row] = int(10 * Fraction(place, len(order)))
    assert decile_of(column(values)).tolist() == expected


numbers = st.one_of(
    st.integers(-5, 5).map(float), st.floats(-1e6, 1e6), st.sampled_from([1e17, 5e-324, 1e-300, np.nan, np.inf])
)


@settings(max_examples=150)
@given(st.lists(st.tuples(numbers, st.booleans()), min_size=1, max_size=30))
def test_every_finite_value_is_in_one_bin(rows: list[tuple[float, bool]]):
    values, marked = np.array([value for value, _ in rows]), np.array([mark for _, mark in rows])
    counted = histogram(values, marked)
    known = np.isfinite(values)
    if not known.any():
        assert counted is None
        return
    assert counted is not None
    assert sum(counted.counts) == known.sum()
    assert sum(counted.marked) == (known & marked).sum()
    assert all(0 <= part <= whole for part, whole in zip(counted.marked, counted.counts, strict=True))
    assert len(counted.counts) == len(counted.marked) == NUM_BINS
    assert list(counted.edges) == sorted(counted.edges)


@given(st.lists(st.integers(0, 400), min_size=200, max_size=200), st.integers(0, 399))
@settings(max_examples=30)
def test_values_are_counted_in_the_bin_between_whose_edges_they_are(values: list[int], bound: int):
    """With 0 and 400 often enough to be the outer percentiles, the edges are the multiples of ten."""
    padded = np.array([0] * 5 + [400] * 5 + values, dtype=np.float64)
    counted = histogram(padded, padded < bound)
    assert counted is not None
    assert counted.edges == pytest.approx(range(0, 401, 10))
    for place in range(NUM_BINS):
        low, high = 10 * place, 10 * place + 10
        inside = [value for value in padded if low <= value < high or (place == NUM_BINS - 1 and value == high)]
        assert counted.counts[place] == len(inside)
        assert counted.marked[place] == sum(value < bound for value in inside)


def test_one_extreme_value_does_not_flatten_the_rest():
    values = np.array([*np.linspace(0, 1, 999), 1e9])
    counted = histogram(values, values > 2)
    assert counted is not None
    assert counted.edges[-1] < 1.1
    assert min(counted.counts) > 20
    assert counted.marked == (*[0] * (NUM_BINS - 1), 1)


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=2, max_size=15))
def test_a_change_of_scale_that_keeps_the_order_changes_no_comparison(rows: list[tuple[int, int, int]]):
    columns = [np.array(values, dtype=np.float64) for values in zip(*rows, strict=True)]
    for first, second in combinations(columns, 2):
        moved = np.exp(second) - 100
        assert rank_correlation(first, moved) == rank_correlation(first, second)
        assert top_overlap(first, moved, 0.4) == top_overlap(first, second, 0.4)
        assert decile_of(moved).tolist() == decile_of(second).tolist()
