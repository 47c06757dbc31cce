from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.pages.agreement import NUM_BINS, decile_of, histogram, mean_ranks, rank_correlation, top_overlap

columns = st.lists(st.integers(-5, 5), min_size=1, max_size=40).map(lambda values: np.array(values, dtype=float))


def test_equal_values_share_their_mean_rank():
    assert mean_ranks(np.array([30.0, 10.0, 20.0, 20.0])).tolist() == [3, 0, 1.5, 1.5]


def test_the_rank_correlation_is_of_the_order_alone():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -(values**3)) == pytest.approx(-1)
    # Kendall and Gibbons' formula without ties: 1 - 6 sum d^2 / (n (n^2 - 1)), d = 1, 1, 0, 0
    assert rank_correlation(values, np.array([2.0, 1.0, 3.0, 4.0])) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation(values, np.ones(4)) is None
    assert rank_correlation(values, np.full(4, np.nan)) is None


def test_only_samples_with_both_values_are_compared():
    one, other = np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 2.0, np.nan, 9.0])
    assert rank_correlation(one, other) == pytest.approx(1)


@given(columns)
def test_a_column_agrees_with_itself(values):
    assert rank_correlation(values, values) in (None, pytest.approx(1))
    assert top_overlap(values, values, 0.5) in (None, 1)


def test_the_overlap_is_of_the_best():
    values = np.arange(10.0)
    assert top_overlap(values, -values, 0.3) == 0
    assert top_overlap(values, np.roll(values, 1), 0.3) == pytest.approx(2 / 3)
    assert top_overlap(values[:2], values[:2], 0.3) is None


@given(columns)
def test_deciles_are_equal_in_number_and_in_order(values):
    deciles = decile_of(values)
    sizes = np.bincount(deciles, minlength=10)
    assert sizes.max() - sizes.min() <= 1
    for low, high in ((low, low + 1) for low in range(9)):
        if sizes[low] and sizes[high]:
            assert values[deciles == low].max() <= values[deciles == high].min()


def test_no_value_has_no_decile():
    assert decile_of(np.array([np.nan, 1.0])).tolist() == [-1, 0]


def test_a_histogram_counts_every_value_once():
    values = np.array([*range(1000), np.nan, 10.0**9])
    counted = histogram(values, np.isnan(values) | (values < 500))
    assert counted is not None
    assert sum(counted.counts) == 1001
    assert sum(counted.marked) == 500
    assert len(counted.edges) == NUM_BINS + 1
    assert counted.edges[-1] < 1001
    assert histogram(np.array([np.nan]), np.array([False])) is None
    constant = histogram(np.ones(3), np.ones(3, dtype=bool))
    assert constant is not None and sum(constant.marked) == 3
