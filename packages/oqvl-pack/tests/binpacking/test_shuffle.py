"""Seeded orders: known answers, so that they can never change from release to release."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.shuffle import mix, permutation, sort_key, start_of


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


def splitmix64(state: int, num: int) -> list[int]:
    """The reference implementation by Sebastiano Vigna, on Python integers."""
    outputs = []
    for _ in range(num):
        state = (state + 0x9E3779B97F4A7C15) % (1 << 64)
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % (1 << 64)
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % (1 << 64)
        outputs.append(z ^ (z >> 31))
    return outputs


@given(st.integers(0, (1 << 64) - 1))
def test_keys_are_the_sequence_of_the_reference_generator(state: int) -> None:
    numbers = np.arange(1, 6, dtype=np.uint64)
    assert sort_key(numbers, np.uint64(state)).tolist() == splitmix64(state, 5)


@given(st.integers(-(1 << 70), 1 << 70))
def test_seeds_count_modulo_two_to_the_64(seed: int) -> None:
    assert start_of(seed) == start_of(seed % (1 << 64)) == splitmix64(seed % (1 << 64), 1)[0]


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.uint32, np.uint64])
def test_keys_do_not_depend_on_the_type_of_the_numbers(dtype: type[np.integer]) -> None:
    assert mix(np.arange(7, dtype=dtype), 3).tolist() == mix(np.arange(7), 3).tolist()
