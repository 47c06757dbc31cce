"""Exact fill: full bins where they exist, and a bounded search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import exact_fill as module
from oqvl_pack.binpacking.packing import pack


@given(st.integers(1, 40), st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_first_bin_is_the_fullest_that_holds_the_longest_item(capacity: int, lengths: list[int]) -> None:
    lengths = [min(length, capacity) for length in lengths]
    rest = sorted(lengths)[:-1]
    sums = (max(lengths) + sum(chosen) for num in range(len(rest) + 1) for chosen in combinations(rest, num))
    fullest = max(total for total in sums if total <= capacity)
    plan = pack(lengths, capacity, algorithm="exact_fill")
    assert sum(lengths[item] for item in plan[0]) == fullest


def test_fills_captions_to_the_last_token() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 10_000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="exact_fill")
    assert plan.is_optimal
    assert (plan.fill == 4096).mean() > 0.95


@pytest.mark.parametrize("limit", ["_SEARCH_COST", "_MAX_TERMS"])
def test_exhausted_search_still_packs_everything(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 5000)
    monkeypatch.setattr(module, limit, 1 if limit == "_MAX_TERMS" else 1 << 15)
    plan = pack(lengths, 1000, algorithm="exact_fill")
    assert sorted(plan.indices.tolist()) == list(range(5000))
    assert (np.add.reduceat(lengths[plan.indices], plan.offsets[:-1]) <= 1000).all()
