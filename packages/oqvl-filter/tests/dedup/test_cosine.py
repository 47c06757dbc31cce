from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.dedup.cosine import ExactSearch, unit_rows
from oqvl_shards.errors import ConfigError


def pairs_of(left, right, block: int, min_cosine: float) -> set[tuple[int, int]]:
    parts = ExactSearch(block).pairs(left, right, min_cosine)
    return {pair for rows, columns in parts for pair in zip(rows.tolist(), columns.tolist(), strict=True)}


@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 4, 4096]), st.sampled_from([0.2, 0.7]))
def test_all_similar_pairs_are_found_whatever_the_blocks(num_left: int, num_right: int, block: int, min_cosine: float):
    generator = np.random.default_rng(num_left * 10 + num_right)
    left, right = (generator.normal(size=(count, 3)) for count in (num_left, num_right))
    found = pairs_of(unit_rows(left), unit_rows(right), block, min_cosine)
    for n, a in enumerate(left):
        for m, b in enumerate(right):
            exact = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert ((n, m) in found) == (exact >= min_cosine)


@given(st.integers(0, 9), st.sampled_from([1, 4, 4096]))
def test_within_one_set_every_pair_comes_in_some_direction(count: int, block: int):
    rows = unit_rows(np.random.default_rng(count).normal(size=(count, 3)))
    found = pairs_of(rows, rows, block, 0.3)
    assert {(min(pair), max(pair)) for pair in found} == {
        pair for pair in pairs_of(rows, rows.copy(), block, 0.3) if pair[0] <= pair[1]
    }


def test_a_row_of_zeros_is_near_to_nothing():
    rows = unit_rows(np.array([[0, 0], [3, 4]], dtype=np.float16))
    assert rows.tolist() == [[0, 0], [pytest.approx(0.6), pytest.approx(0.8)]]
    assert rows.dtype == np.float32


@pytest.mark.parametrize("block_size", [0, -1, "many"])
def test_a_block_has_rows(block_size):
    with pytest.raises(ConfigError, match="block_size="):
        ExactSearch(block_size)
