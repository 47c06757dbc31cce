from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.mcnemar import chi_square_p, mcnemar

counts = st.integers(0, 400)


def test_the_published_comparison_on_mmbench():
    test = mcnemar(248, 434)
    assert test.statistic == 248
    assert test.exact_p == pytest.approx(1.0201e-12, rel=1e-4)
    assert test.mid_p == pytest.approx(7.99e-13, rel=1e-3)
    assert test.chi2 == pytest.approx(50.727, abs=5e-4)
    assert test.chi2_p == pytest.approx(1.06e-12, rel=5e-3)
    assert test.corrected_chi2 == pytest.approx(50.183, abs=5e-4)
    assert test.corrected_p == pytest.approx(1.40e-12, rel=5e-3)


@pytest.mark.parametrize(
    ("statistic", "p"),
    [(0.0, 1.0), (2.705543454, 0.10), (3.841458821, 0.05), (6.634896601, 0.01), (10.82756617, 0.001)],
)
def test_chi_square_quantiles_of_the_printed_tables(statistic, p):
    assert chi_square_p(statistic) == pytest.approx(p, rel=1e-8)


def test_no_discordant_item_tells_nothing_apart():
    test = mcnemar(0, 0)
    assert (test.exact_p, test.mid_p, test.chi2_p, test.corrected_p) == (1.0, 1.0, 1.0, 1.0)
    assert (test.statistic, test.chi2, test.corrected_chi2) == (0, 0.0, 0.0)


def test_by_hand():
    # b = 1, c = 5: P(X <= 1) = (1 + 6) / 64
    test = mcnemar(1, 5)
    assert test.exact_p == 14 / 64
    assert test.mid_p == (14 - 6) / 64
    assert test.chi2 == pytest.approx(16 / 6)
    assert test.corrected_chi2 == pytest.approx(9 / 6)


@given(counts, counts)
def test_the_exact_p_is_the_binomial_sum(b, c):
    n = b + c
    tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(min(b, c) + 1))
    point = Fraction(math.comb(n, min(b, c)), 2**n)
    test = mcnemar(b, c)
    assert test.exact_p == float(min(Fraction(1), 2 * tail))
    assert test.mid_p == float(min(Fraction(1), 2 * tail - point))


@given(counts, counts)
def test_exchanging_the_systems_changes_nothing(b, c):
    assert mcnemar(b, c) == mcnemar(c, b)


@given(counts, counts)
def test_p_values_are_ordered_probabilities(b, c):
    test = mcnemar(b, c)
    assert 0 <= test.mid_p <= test.exact_p <= 1
    assert 0 <= test.chi2_p <= test.corrected_p <= 1


@given(st.integers(0, 300))
def test_even_splits_show_no_difference(b):
    test = mcnemar(b, b)
    assert (test.exact_p, test.mid_p, test.chi2_p, test.corrected_p) == (1.0, 1.0, 1.0, 1.0)


def test_a_p_value_far_below_float_epsilon_is_not_lost():
    assert mcnemar(0, 1000).exact_p == 2.0**-999


@pytest.mark.parametrize(("b", "c"), [(b, n - b) for n in range(1, 11) for b in range(n + 1)])
def test_the_exact_p_counts_the_equally_likely_outcomes(b, c):
    """Under the null hypothesis every discordant item falls to A or B like a coin: enumerate all 2**n outcomes."""
    n, smaller = b + c, min(b, c)
    heads = [sum(outcome) for outcome in itertools.product((0, 1), repeat=n)]
    at_least_as_extreme = sum(min(count, n - count) <= smaller for count in heads)
    just_as_extreme = sum(min(count, n - count) == smaller for count in heads)
    test = mcnemar(b, c)
    assert test.exact_p == at_least_as_extreme / 2**n
    assert test.mid_p == (1.0 if b == c else (at_least_as_extreme - just_as_extreme / 2) / 2**n)


@given(st.integers(0, 200), st.integers(0, 200))
def test_one_more_item_for_the_better_system_never_weakens_the_evidence(b, more):
    assert mcnemar(b, b + more + 1).exact_p <= mcnemar(b, b + more).exact_p


@pytest.mark.parametrize(
    ("b", "c", "chi2", "corrected"),
    [(0, 1, 1.0, 0.0), (1, 2, 1 / 3, 0.0), (5, 15, 5.0, 81 / 20), (10, 10, 0.0, 0.0), (3, 0, 3.0, 4 / 3)],
)
def test_chi_square_statistics_by_hand(b, c, chi2, corrected):
    test = mcnemar(b, c)
    assert (test.chi2, test.corrected_chi2) == (pytest.approx(chi2), pytest.approx(corrected))
    assert test.chi2_p == pytest.approx(chi_square_p(chi2))
