from __future__ import annotations

import numpy as np
import pyarrow as pa

from oqvl_filter.selection.balancing import balance
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.uid import UID_DTYPE


def hashes(count: int, seed: int = 0) -> np.ndarray:
    return hash_uids(np.array([(n, 0) for n in range(count)], dtype=UID_DTYPE), seed)


def test_frequent_entries_are_thinned_to_the_cap_and_rare_ones_stay():
    entries = pa.array(["7"] * 4000 + ["8"] * 50 + ["7 8"] + ["", None])
    kept = np.ones(len(entries), dtype=bool)
    stays, has_entry = balance(entries, hashes(len(entries)), kept, cap=400)
    assert stays[4000:4051].all()  # fewer than the cap, and one with a rare entry beside the frequent one
    assert 320 < stays[:4000].sum() < 480  # 400 expected, standard deviation 19
    assert has_entry.tolist() == [True] * 4051 + [False] * 2
    assert not stays[4051:].any()


def test_only_what_is_kept_counts_and_the_order_does_not_matter():
    entries = pa.array(["7"] * 100)
    kept = np.arange(100) % 2 == 0
    stays, _ = balance(entries, hashes(100), kept, cap=50)
    assert np.array_equal(stays, kept)
    all_kept = np.ones(100, dtype=bool)
    once, _ = balance(entries, hashes(100), all_kept, cap=30)
    reversed_, _ = balance(entries, hashes(100)[::-1], all_kept, cap=30)
    assert np.array_equal(once, reversed_[::-1])
    other, _ = balance(entries, hashes(100, seed=1), all_kept, cap=30)
    assert not np.array_equal(once, other)


def test_nothing_to_balance():
    stays, has_entry = balance(pa.array([], pa.string()), hashes(0), np.zeros(0, dtype=bool), cap=1)
    assert len(stays) == len(has_entry) == 0
