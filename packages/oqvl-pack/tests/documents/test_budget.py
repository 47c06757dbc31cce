"""Token budgets: never exceeded, the largest sum of few documents, to the token with many, and always the same."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.documents import budget as module
from oqvl_pack.documents.budget import fill_budget


def greedy(lengths: list[int], budget: int) -> int:
    """Tokens of the documents that are taken one by one, each that still fits."""
    taken = 0
    for length in lengths:
        taken += length if taken + length <= budget else 0
    return taken


def largest_sum(lengths: list[int], budget: int) -> int:
    """The largest sum of any documents up to the budget."""
    sums = {0}
    for length in lengths:
        sums |= {one + length for one in sums if one + length <= budget}
    return max(sums)


@given(st.lists(st.integers(1, 300), max_size=64), st.integers(0, 9000))
def test_few_documents_make_the_largest_sum_there_is(lengths: list[int], budget: int) -> None:
    array = np.asarray(lengths, dtype=np.uint16)
    assert int(array[fill_budget(array, budget)].sum()) == largest_sum(lengths, budget)


@pytest.mark.parametrize("limits", [(1, 2, 1 << 20), (3, 4, 1 << 20), (64, 320, 30), (64, 320, 0)])
@given(lengths=st.lists(st.integers(1, 50), max_size=60), budget=st.integers(0, 2000))
def test_never_exceeded_never_behind_greedy_nothing_left_out_that_fits(
    limits: tuple[int, int, int], lengths: list[int], budget: int
) -> None:
    array = np.asarray(lengths, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_NUM_RECONSIDERED", "_WINDOW", "_MAX_ROOM"), limits, strict=True):
            patch.setattr(module, name, value)
        chosen = fill_budget(array, budget)
    missing = budget - int(array[chosen].sum())
    assert missing >= 0
    assert not (array[~chosen] <= missing).any()
    if limits[2] and len(lengths) <= limits[1]:
        assert missing <= budget - greedy(lengths, budget)


@given(st.integers(0, 1 << 30), st.floats(0.05, 0.95))
def test_captions_meet_every_budget_to_the_token(seed: int, share: float) -> None:
    lengths = 146 + np.random.default_rng(seed).lognormal(3.1, 0.7, 2000).astype(np.int64)
    budget = int(share * lengths.sum())
    chosen = fill_budget(lengths, budget)
    assert lengths[chosen].sum() == budget
    # All but the last few are the first in the order.
    num_first = int(np.searchsorted(np.cumsum(lengths), budget, side="right"))
    assert chosen[: num_first - 64].all()
    assert not chosen[num_first + 256 :].any()


def test_what_no_documents_make_is_missing() -> None:
    lengths = np.full(5000, 150)
    chosen = fill_budget(lengths, 3000 * 150 + 149)
    assert chosen.tolist() == [True] * 3000 + [False] * 2000


def test_a_short_document_far_behind_is_found() -> None:
    lengths = np.full(5000, 150)
    lengths[[4000, 4500]] = 100
    chosen = fill_budget(lengths, 1000 * 150 + 110)
    assert np.flatnonzero(chosen).tolist() == [*range(1000), 4000]


def test_all_and_nothing() -> None:
    lengths = np.asarray([5, 3, 9])
    assert fill_budget(lengths, 17).all()
    assert not fill_budget(lengths, 2).any()
    assert not fill_budget(lengths, 0).any()
    assert fill_budget(lengths[:0], 5).tolist() == []


@given(st.lists(st.integers(1, 60), max_size=10), st.integers(0, 400))
def test_exact_against_all_combinations(lengths: list[int], budget: int) -> None:
    array = np.asarray(lengths, dtype=np.int64)
    chosen = fill_budget(array, budget)
    sums = [sum(some) for num in range(len(lengths) + 1) for some in combinations(lengths, num) if sum(some) <= budget]
    assert array[chosen].sum() == max(sums)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_a_budget_of_the_first_documents_takes_at_least_as_much(lengths: list[int]) -> None:
    array = np.asarray(lengths, dtype=np.int64)
    for num in range(len(lengths) + 1):
        budget = int(array[:num].sum())
        assert array[fill_budget(array, budget)].sum() == budget


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 400))
def test_early_documents_are_preferred(lengths: list[int], budget: int) -> None:
    array = np.asarray(lengths, dtype=np.int64)
    chosen = np.flatnonzero(fill_budget(array, budget)).tolist()
    total = int(array[chosen].sum())
    # Without the last chosen document, no earlier ones make the same sum.
    earlier = lengths[: chosen[-1]] if chosen else []
    assert not total or all(
        sum(some) != total for num in range(len(earlier) + 1) for some in combinations(earlier, num)
    )


def test_more_room_than_may_be_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Documents longer than the room that is given back are kept, and only what is missing is filled.
    monkeypatch.setattr(module, "_MAX_ROOM", 50)
    lengths = np.asarray([100, 100, 100, 30, 20])
    assert fill_budget(lengths, 250).tolist() == [True, True, False, True, True]
    assert fill_budget(lengths, 299).tolist() == [True, True, False, True, True]
