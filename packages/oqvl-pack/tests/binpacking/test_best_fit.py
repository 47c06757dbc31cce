"""Best-fit decreasing over counts against the item-wise algorithm."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack


def textbook_best_fit_decreasing(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        fitting = [
            (space, index)
            for index, space in enumerate(free)
            if space >= lengths[item] and (not max_items or len(bins[index]) < max_items)
        ]
        if fitting:
            _, index = min(fitting)
        else:
            index = len(bins)
            bins.append([])
            free.append(capacity)
        bins[index].append(item)
        free[index] -= lengths[item]
    return bins


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="bfd", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths, capacity, max_items)


def test_same_bins_as_the_textbook_on_captions() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 2000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="bfd")
    assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths.tolist(), 4096, 0)


def test_fullest_bin_wins_over_the_first() -> None:
    assert [bin_.tolist() for bin_ in pack([6, 7, 3], 10, algorithm="bfd")] == [[1, 2], [0]]
    assert [bin_.tolist() for bin_ in pack([7, 8, 2], 10, algorithm="bfd")] == [[1, 2], [0]]
    assert [bin_.tolist() for bin_ in pack([6, 6, 4, 4], 10, algorithm="bfd")] == [[0, 2], [1, 3]]


def test_first_bin_wins_among_equals_that_filled_up_in_another_order() -> None:
    # Bin 1 has one token free before bin 0 has.
    assert [bin_.tolist() for bin_ in pack([14, 12, 7, 5, 1], 20, algorithm="bfd")] == [[0, 3, 4], [1, 2]]


def test_same_bins_as_the_textbook_on_many_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        capacity = int(rng.integers(10, 60))
        lengths = rng.integers(1, capacity // 2 + 2, rng.integers(20, 80)).tolist()
        plan = pack(lengths, capacity, algorithm="bfd")
        assert [bin_.tolist() for bin_ in plan] == textbook_best_fit_decreasing(lengths, capacity, 0)
