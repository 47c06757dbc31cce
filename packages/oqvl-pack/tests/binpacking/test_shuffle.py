"""Seeded orders: known answers, so that they can never change from release to release."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.shuffle import mix, permutation, start_of


def test_keys_are_those_of_splitmix64() -> None:
    # The first two outputs of the generator seeded with 0.
    assert start_of(0) == 0xE220A8397B1DCDAF
    assert start_of(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


def test_order_never_changes() -> None:
    assert permutation(10, 0).tolist() == [6, 8, 0, 9, 3, 1, 4, 2, 7, 5]
    assert permutation(10, 1).tolist() == [3, 9, 5, 8, 1, 7, 6, 4, 0, 2]


@given(st.integers(0, 2000), st.integers(-5, 1 << 70))
def test_every_number_once(num: int, seed: int) -> None:
    assert sorted(permutation(num, seed).tolist()) == list(range(num))
    assert len(np.unique(mix(np.arange(num), seed))) == num
