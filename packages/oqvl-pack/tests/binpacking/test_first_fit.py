"""First-fit decreasing over counts and next-fit against the item-wise algorithms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack


def textbook_first_fit_decreasing(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        for index, space in enumerate(free):
            if space >= lengths[item] and (not max_items or len(bins[index]) < max_items):
                break
        else:
            index = len(bins)
            bins.append([])
            free.append(capacity)
        bins[index].append(item)
        free[index] -= lengths[item]
    return bins


def textbook_next_fit(lengths: list[int], capacity: int, max_items: int) -> list[list[int]]:
    bins: list[list[int]] = []
    free = 0
    for item, length in enumerate(lengths):
        if length > free or (max_items and len(bins[-1]) == max_items):
            bins.append([])
            free = capacity
        bins[-1].append(item)
        free -= length
    return bins


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="ffd", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_first_fit_decreasing(lengths, capacity, max_items)


@given(st.integers(1, 60), st.lists(st.integers(1, 60), max_size=120), st.integers(0, 5))
def test_next_fit_same_bins_as_the_textbook(capacity: int, lengths: list[int], max_items: int) -> None:
    lengths = [min(length, capacity) for length in lengths]
    plan = pack(lengths, capacity, algorithm="next_fit", max_items=max_items)
    assert [bin_.tolist() for bin_ in plan] == textbook_next_fit(lengths, capacity, max_items)


def test_same_bins_as_the_textbook_on_captions() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 2000)).astype(int), 4096)
    plan = pack(lengths, 4096, algorithm="ffd")
    assert [bin_.tolist() for bin_ in plan] == textbook_first_fit_decreasing(lengths.tolist(), 4096, 0)


def test_first_bin_wins_over_the_fullest() -> None:
    # Bins [7] and [6, 2] have 3 and 2 tokens free when the item of 2 tokens comes.
    assert [bin_.tolist() for bin_ in pack([7, 6, 2, 2], 10, algorithm="ffd")] == [[0, 2], [1, 3]]
    assert [bin_.tolist() for bin_ in pack([6, 8, 2], 10, algorithm="ffd")] == [[1, 2], [0]]
