from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.dedup import hamming
from oqvl_filter.dedup.hamming import distances, near_pairs

# Hashes near to each other, and some anywhere.
hashes = st.lists(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.lists(st.integers(0, 63), max_size=6).map(lambda bits: sum(1 << bit for bit in set(bits))),
    ),
    max_size=25,
)


@given(hashes, hashes, st.integers(0, 6), st.sampled_from([1, 3, 1 << 22]), st.sampled_from([1, 1 << 20, 1 << 40]))
def test_all_near_pairs_are_found_and_no_others(left, right, max_distance: int, chunk: int, as_if: int):
    left_N, right_M = np.array(left, dtype=np.uint64), np.array(right, dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "_MAX_CANDIDATES", chunk)
        masks = hamming._masks(max_distance, as_if)
        patch.setattr(hamming, "_masks", lambda distance, count: masks)
        found = {
            pair
            for rows, columns in near_pairs(left_N, right_M, max_distance)
            for pair in zip(rows.tolist(), columns.tolist(), strict=True)
        }
    expected = {(n, m) for n, a in enumerate(left) for m, b in enumerate(right) if (a ^ b).bit_count() <= max_distance}
    assert found == expected


def test_distances_are_differing_bits():
    ones = np.array([2**64 - 1, 5], dtype=np.uint64)
    assert distances(ones, np.array([0, 4], dtype=np.uint64)).tolist() == [64, 1]


@pytest.mark.parametrize(("max_distance", "count"), [(0, 10), (4, 10), (4, 10**6), (4, 10**9), (16, 10**9)])
def test_keys_grow_with_the_hashes_and_tables_stay_few(max_distance: int, count: int):
    masks = hamming._masks(max_distance, count)
    assert len(masks) <= max(hamming.MAX_TABLES, max_distance + 1)
    assert all(int(mask) < 2**64 for mask in masks)
