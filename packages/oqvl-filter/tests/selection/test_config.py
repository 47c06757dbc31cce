from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.selection.config import Balance, SelectConfig, TokenCount
from oqvl_shards.errors import ConfigError


def config(**values) -> SelectConfig:
    return SelectConfig.from_values({"output": "o", **values})


@given(
    st.none() | st.integers(1, 10),
    st.none() | st.floats(1, 10),
    st.dictionaries(st.sampled_from("ab"), st.floats(-1, 5), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(-1, 5), max_size=2),
)
def test_one_budget_at_most_and_weights_only_with_one(pairs, tokens, weights, quotas):
    has_one_budget_at_most = pairs is None or tokens is None
    has_a_use_for_weights = not weights or pairs is not None or tokens is not None
    are_from_zero_up = all(value >= 0 for value in (*weights.values(), *quotas.values()))
    values = {"pairs": pairs, "tokens": tokens, "weights": weights, "quotas": quotas}
    if has_one_budget_at_most and has_a_use_for_weights and are_from_zero_up:
        assert config(**values).weights == weights
    else:
        with pytest.raises(ConfigError):
            config(**values)


def test_a_cache_and_paths_do_not_decide_a_selection():
    assert config(cache="c", pools="p", scores={"a": "b"}).digest() == config().digest()
    for changes in ({"seed": 1}, {"keep": "a > 1"}, {"quotas": {"a": 1}}, {"pairs": 3}, {"prefer": "a"}):
        assert config(**changes).digest() != config().digest()


def test_a_pair_has_144_visual_tokens_and_three_marks_by_default():
    assert (TokenCount().fixed, TokenCount().per_value, Balance().column) == (147, 0.25, "")
