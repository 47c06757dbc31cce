from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.selection.budget import best_first, by_source, divide, first_of_each, fit_budget
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

sources = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=5)


@given(sources, st.integers(0, 120))
def test_a_division_spends_the_budget_in_proportion(table: list[tuple[int, int]], budget: int):
    demands, weights = [demand for demand, _ in table], [float(weight) for _, weight in table]
    shares = divide(budget, demands, weights)
    wanted = sum(demand for demand, weight in table if weight)
    assert sum(shares) == min(budget, wanted)
    assert all(0 <= share <= demand for share, demand in zip(shares, demands, strict=True))
    # Whoever wants more than it gets has, to within a unit, the most that any other one has for its weight.
    hungry = [n for n in range(len(table)) if weights[n] and shares[n] < demands[n]]
    for n in hungry:
        for m in range(len(table)):
            if weights[m]:
                assert Fraction(shares[n] + 1) / Fraction(weights[n]) >= Fraction(shares[m] - 1) / Fraction(weights[m])


def test_known_divisions():
    assert divide(10, [100, 100, 100], [1, 1, 1]) == [4, 3, 3]
    assert divide(12, [2, 100, 100], [1, 1, 2]) == [2, 3, 7]
    assert divide(12, [2, 3, 4], [1, 1, 1]) == [2, 3, 4]
    assert divide(9, [5, 5], [0, 1]) == [0, 5]


def test_the_order_is_value_then_hash_and_no_value_last():
    uids = np.array([(n, 0) for n in range(50)], dtype=UID_DTYPE)
    values = np.array([n % 3 for n in range(50)], dtype=float)
    values[[3, 7]] = np.nan
    order = best_first(uids, values, seed=1).tolist()
    hashes = hash_uids(uids, 1).tolist()
    assert order == sorted(range(50), key=lambda n: (n in (3, 7), -(n % 3) if n not in (3, 7) else 0, hashes[n]))
    assert best_first(uids, None, seed=1).tolist() == sorted(range(50), key=lambda n: hashes[n])


def test_quotas_and_budgets_keep_a_start_of_the_order():
    order = np.array([4, 2, 0, 5, 1, 3])
    codes = np.array([0, 1, 0, 1, 0, 1])
    assert first_of_each(order, codes, [2, None]).tolist() == [4, 2, 5, 1, 3]
    costs = np.array([3, 1, 2, 1, 5, 1])
    assert fit_budget(order, codes, costs, 9, None).tolist() == [4, 2]
    assert fit_budget(order, codes, costs, 4, [0.0, 1.0]).tolist() == [5, 1, 3]


def test_a_source_that_is_not_there_is_named():
    assert by_source("quotas", {"b": 3}, ["a", "b"]) == [None, 3]
    with pytest.raises(ConfigError, match=r"weights names \['c'\]"):
        by_source("weights", {"c": 1.0}, ["a", "b"])
