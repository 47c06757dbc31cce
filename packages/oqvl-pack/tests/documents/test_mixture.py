"""Shares and budgets: exactly what was asked for, the same every time, an error when there is too little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.shuffle import mix, start_of
from oqvl_pack.config import MixturePart, PackConfig
from oqvl_pack.documents.mixture import choose_by_shard, choose_documents
from oqvl_shards.errors import ConfigError


def part(**values: object) -> MixturePart:
    return MixturePart.model_validate({"source": "a", **values})


LENGTHS = np.random.default_rng(0).integers(5, 200, 1000)


UIDS = np.random.default_rng(1).integers(0, 1 << 64, 1000, dtype=np.uint64)


def choose(
    lengths: Sequence[np.ndarray], parts: Sequence[MixturePart], seed: int = 0, uids: np.ndarray = UIDS
) -> list[np.ndarray]:
    """Whether each document is chosen; also of sources that are packed whole."""
    found = choose_documents(lengths, [uids[: len(one)] for one in lengths], parts, seed).is_chosen
    return [np.ones(len(one), dtype=bool) if of is None else of for one, of in zip(lengths, found, strict=True)]


def test_number_of_documents_is_exact() -> None:
    [chosen] = choose([LENGTHS], [part(num_samples=137)])
    assert chosen.sum() == 137
    [again] = choose([LENGTHS], [part(num_samples=137)])
    [other] = choose([LENGTHS], [part(num_samples=137)], seed=1)
    assert (chosen == again).all()
    assert (chosen != other).any()
    assert 0.1 < chosen[:500].mean() / chosen.mean() < 1.5  # from everywhere in the source


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 3000), st.integers(0, 5))
def test_a_token_budget_leaves_nothing_out_that_fits(lengths: list[int], budget: int, seed: int) -> None:
    array = np.asarray(lengths)
    budget = min(budget, sum(lengths))
    choice = choose_documents([array], [UIDS[: len(array)]], [part(num_tokens=budget)], seed)
    [chosen] = choice.is_chosen
    assert chosen is not None
    assert choice.token_budgets == [budget]
    missing = budget - int(array[chosen].sum())
    assert missing >= 0
    assert not (array[~chosen] <= missing).any()


def test_weights_are_shares_of_the_tokens() -> None:
    sources = [LENGTHS, LENGTHS[:300], LENGTHS]
    parts = [part(weight=3), part(weight=1), part()]
    choice = choose_documents(sources, [UIDS, UIDS[:300], UIDS], parts, seed=0)
    assert choice.is_chosen[2] is None
    chosen = choose(sources, parts)
    # The second is shortest for its weight, so it is taken whole, and the first follows to the token.
    assert chosen[1].all()
    assert LENGTHS[chosen[0]].sum() == 3 * LENGTHS[:300].sum()
    assert choice.token_budgets == [3 * LENGTHS[:300].sum(), LENGTHS[:300].sum(), None]


def test_a_document_is_chosen_wherever_it_lies() -> None:
    for one in (part(num_samples=300), part(num_tokens=40_000)):
        [chosen] = choose([LENGTHS], [one])
        order = np.random.default_rng(2).permutation(1000)
        [moved] = choose([LENGTHS[order]], [one], uids=UIDS[order])
        assert (moved == chosen[order]).all()


@pytest.mark.parametrize("values", [{"num_samples": 300}, {"num_tokens": 40_000}])
def test_another_shard_displaces_as_many_as_it_brings(values: dict[str, int]) -> None:
    [before] = choose([LENGTHS[:900]], [part(**values)])
    [after] = choose([LENGTHS], [part(**values)])
    num_new, num_lost = int(after[900:].sum()), int((before & ~after[:900]).sum())
    assert 10 < num_new < 60
    # A budget of tokens is completed from some other documents, too.
    assert num_lost <= num_new + (0 if "num_samples" in values else 20)


def test_documents_with_one_uid_are_told_apart_by_their_place() -> None:
    uids = np.repeat(UIDS[:250], 4)
    [chosen] = choose([LENGTHS], [part(num_samples=101)], uids=uids)
    assert sorted(chosen.reshape(-1, 4).sum(axis=1).tolist())[-26:] == [1, *[4] * 25]
    assert chosen.reshape(-1, 4)[chosen.reshape(-1, 4).sum(axis=1) == 1].tolist() == [[True, False, False, False]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_samples": 1001}, "num_samples is 1,001, but only 1,000 of a can be packed"),
        ({"num_tokens": 10**7}, r"num_tokens is 10,000,000, but only [\d,]+ of a can be packed"),
    ],
)
def test_too_little_is_an_error(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose([LENGTHS], [part(**values)])


def test_a_weight_without_documents_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has a weight, but none of its documents"):
        choose([LENGTHS, LENGTHS[:0]], [part(weight=1), part(weight=1)])


def test_choice_by_shard_is_that_by_source() -> None:
    parts = (part(num_samples=40), part(), part(num_tokens=900))
    config = PackConfig(output=Path("out"), tokenizer=Path("t"), mixture=parts, seed=4)
    bounds = [100, 250, 400, 700]
    choice = choose_by_shard(np.split(LENGTHS, bounds), np.split(UIDS, bounds), [0, 0, 1, 2, 2], config)
    by_source = choose_documents(np.split(LENGTHS, [250, 400]), np.split(UIDS, [250, 400]), config.mixture_parts, 4)
    chosen, whole = choice.is_chosen, by_source.is_chosen
    assert choice.token_budgets == by_source.token_budgets == [None, None, 900]
    assert chosen[2] is None is whole[1]
    of_first, of_third = ([one for one in part if one is not None] for part in (chosen[:2], chosen[3:]))
    assert np.concatenate(of_first).tolist() == np.asarray(whole[0]).tolist()
    assert np.concatenate(of_third).tolist() == np.asarray(whole[2]).tolist()


@given(
    st.lists(st.tuples(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(1, 5)), min_size=1, max_size=4)
)
def test_weighted_sources_are_as_large_as_their_shares_allow(sources: list[tuple[list[int], int]]) -> None:
    lengths = [np.asarray(of_source) for of_source, _ in sources]
    parts = [part(weight=weight) for _, weight in sources]
    budgets = choose_documents(lengths, [UIDS[: len(of_source)] for of_source in lengths], parts, 0).token_budgets
    totals = [int(of_source.sum()) for of_source in lengths]
    per_weight = min(total / weight for total, (_, weight) in zip(totals, sources, strict=True))
    assert budgets == [round(per_weight * weight) for _, weight in sources]
    # The source that is shortest for its weight is packed whole, and none is asked for more than it has.
    assert any(budget == total for budget, total in zip(budgets, totals, strict=True))
    assert all(budget is not None and budget <= total for budget, total in zip(budgets, totals, strict=True))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(0, 300), st.integers(0, 9))
def test_a_token_budget_against_all_combinations(lengths: list[int], budget: int, seed: int) -> None:
    budget = max(1, min(budget, sum(lengths)))
    array = np.asarray(lengths)
    [chosen] = choose([array], [part(num_tokens=budget)], seed)
    sums = {0}
    for length in lengths:
        sums |= {total + length for total in sums}
    assert array[chosen].sum() == max(total for total in sums if total <= budget)


def test_documents_come_in_the_order_of_their_hash() -> None:
    keys = mix(UIDS, start_of(5))
    [chosen] = choose([LENGTHS], [part(num_samples=7)], seed=5)
    assert sorted(np.flatnonzero(chosen).tolist()) == sorted(np.argsort(keys)[:7].tolist())


def test_two_sources_have_orders_of_their_own() -> None:
    first, second = choose([LENGTHS, LENGTHS], [part(num_samples=500), part(num_samples=500)])
    # Independent halves overlap in a quarter of the documents.
    assert 0.2 < (first & second).mean() < 0.3


def test_a_source_in_shards_without_documents() -> None:
    config = PackConfig(output=Path("out"), tokenizer=Path("t"), mixture=(part(num_samples=2),), seed=4)
    empty = LENGTHS[:0]
    choice = choose_by_shard([empty, LENGTHS[:3], empty], [UIDS[:0], UIDS[:3], UIDS[:0]], [0, 0, 0], config)
    sizes = [(len(chosen), int(chosen.sum())) for chosen in choice.is_chosen if chosen is not None]
    assert sizes == [(0, 0), (3, 2), (0, 0)]


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"num_samples": 1001}, "ask for fewer, or leave out num_samples to take all"),
        ({"num_tokens": 10**7}, "ask for fewer, or leave out num_tokens to take all"),
    ],
)
def test_errors_say_what_to_do(values: dict[str, int], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose([LENGTHS], [part(**values)])
    assert hint in caught.value.hint


def test_a_budget_below_the_shortest_document_takes_nothing() -> None:
    choice = choose_documents([LENGTHS], [UIDS], [part(num_tokens=int(LENGTHS.min()) - 1)], 0)
    assert choice.is_chosen[0] is not None and not choice.is_chosen[0].any()
    [shortest] = choose([LENGTHS], [part(num_tokens=int(LENGTHS.min()))])
    assert LENGTHS[shortest].tolist() == [LENGTHS.min()]


@pytest.mark.parametrize(("weight", "expected"), [(1e-12, 0), (1e-3, 20), (0.0125, 250)])
def test_a_small_weight_is_a_small_share(weight: float, expected: int) -> None:
    tokens = np.full(1000, 20)
    choice = choose_documents([tokens, tokens], [UIDS, UIDS], [part(weight=1), part(weight=weight)], 0)
    assert choice.token_budgets == [20_000, expected]
    assert choice.is_chosen[1] is not None
    # Documents of 20 tokens: a budget of 250 takes twelve of them.
    assert tokens[choice.is_chosen[1]].sum() == expected // 20 * 20


def test_everything_may_be_asked_for() -> None:
    everything: list[dict[str, float]] = [{"num_samples": 1000}, {"num_tokens": int(LENGTHS.sum())}, {"weight": 1e300}]
    for values in everything:
        [chosen] = choose([LENGTHS], [part(**values)])
        assert chosen.all()
