"""Shares and budgets: exactly what was asked for, the same every time, an error when there is too little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.config import MixturePart, PackConfig
from oqvl_pack.mixture import choose_by_shard, choose_documents
from oqvl_shards.errors import ConfigError


def part(**values: object) -> MixturePart:
    return MixturePart.model_validate({"source": "a", **values})


LENGTHS = np.random.default_rng(0).integers(5, 200, 1000)


def test_number_of_documents_is_exact() -> None:
    [chosen] = choose_documents([LENGTHS], [part(num_samples=137)], seed=0)
    assert chosen is not None
    assert chosen.sum() == 137
    [again] = choose_documents([LENGTHS], [part(num_samples=137)], seed=0)
    [other] = choose_documents([LENGTHS], [part(num_samples=137)], seed=1)
    assert (chosen == again).all()
    assert (chosen != other).any()
    assert 0.1 < chosen[:500].mean() / chosen.mean() < 1.5  # from everywhere in the source


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 3000), st.integers(0, 5))
def test_a_token_budget_leaves_nothing_out_that_fits(lengths: list[int], budget: int, seed: int) -> None:
    array = np.asarray(lengths)
    budget = min(budget, sum(lengths))
    [chosen] = choose_documents([array], [part(num_tokens=budget)], seed)
    assert chosen is not None
    missing = budget - int(array[chosen].sum())
    assert missing >= 0
    assert not (array[~chosen] <= missing).any()


def test_weights_are_shares_of_the_tokens() -> None:
    sources = [LENGTHS, LENGTHS[:300], LENGTHS]
    chosen = choose_documents(sources, [part(weight=3), part(weight=1), part()], seed=0)
    assert chosen[2] is None
    tokens = [lengths[one].sum() for lengths, one in zip(sources, chosen, strict=False) if one is not None]
    # The second is shortest for its weight, so it is taken whole and the first follows.
    assert tokens[1] == LENGTHS[:300].sum()
    assert 0 <= 3 * tokens[1] - tokens[0] < LENGTHS.min()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_samples": 1001}, "num_samples is 1,001, but a has 1,000 that can be packed"),
        ({"num_tokens": 10**7}, r"num_tokens is 10,000,000, but a has [\d,]+ that can be packed"),
    ],
)
def test_too_little_is_an_error(values: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_documents([LENGTHS], [part(**values)], seed=0)


def test_a_weight_without_documents_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has a weight, but holds no document"):
        choose_documents([LENGTHS, LENGTHS[:0]], [part(weight=1), part(weight=1)], seed=0)


def test_choice_by_shard_is_that_by_source() -> None:
    parts = (part(num_samples=40), part(), part(num_tokens=900))
    config = PackConfig(output=Path("out"), tokenizer=Path("t"), mixture=parts, seed=4)
    shards = np.split(LENGTHS, [100, 250, 400, 700])
    chosen = choose_by_shard(shards, [0, 0, 1, 2, 2], config)
    whole = choose_documents([LENGTHS[:250], LENGTHS[250:400], LENGTHS[400:]], config.parts, 4)
    assert chosen[2] is None is whole[1]
    of_first, of_third = ([one for one in part if one is not None] for part in (chosen[:2], chosen[3:]))
    assert np.concatenate(of_first).tolist() == np.asarray(whole[0]).tolist()
    assert np.concatenate(of_third).tolist() == np.asarray(whole[2]).tolist()
