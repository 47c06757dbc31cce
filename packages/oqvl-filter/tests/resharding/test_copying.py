from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.resharding.copying import check_keys, fill_shards, shuffled
from oqvl_filter.resharding.sample_table import join_samples
from oqvl_shards.errors import DataError

shards = st.lists(st.lists(st.integers(0, 12), max_size=8), min_size=1, max_size=5)


@given(
    shards,
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 40).map(lambda n: n * 512)),
    st.one_of(st.none(), st.integers(0, 3)),
)
def test_shards_hold_what_fits_in_order(
    found, check_members, numbers, max_samples: int, max_bytes: int | None, seed: int | None
):
    samples, _ = join_samples([found(part, index) for index, part in enumerate(numbers)])
    order = np.arange(len(samples)) if seed is None else shuffled(samples, seed)
    filled = list(fill_shards(samples, order, max_samples, max_bytes))
    for part in filled:
        check_members(part)
        assert 0 < len(part) <= max_samples
        assert max_bytes is None or len(part) == 1 or part.num_bytes.sum() <= max_bytes
    for part, following in pairwise(filled):
        fits = len(part) < max_samples
        fits &= max_bytes is None or part.num_bytes.sum() + following.num_bytes[0] <= max_bytes
        assert not fits
    assert [key for part in filled for key in part.keys] == samples.keys[order].tolist()


def test_a_shard_may_be_full_to_the_last_byte(found):
    samples, _ = join_samples([found([0, 3, 6, 9])])
    assert samples.num_bytes.tolist() == [512, 1024, 1536, 1536]
    filled = fill_shards(samples, np.arange(4), 7, 1536)
    assert [len(part) for part in filled] == [2, 1, 1]
    assert [len(part) for part in fill_shards(samples, np.arange(4), 7, 1)] == [1, 1, 1, 1]


def test_a_shuffle_does_not_depend_on_where_samples_lie(found):
    one, _ = join_samples([found(list(range(40)), 0)])
    two, _ = join_samples([found(list(range(39, 19, -1)), 0), found(list(range(20)), 1)])
    orders = [table.uids[shuffled(table, 7)].tolist() for table in (one, two)]
    assert orders[0] == orders[1]
    assert orders[0] != one.uids[shuffled(one, 8)].tolist()
    assert sorted(orders[0]) == one.uids.tolist()


def test_original_keys_must_be_distinct(found):
    samples, _ = join_samples([found([1, 2]), found([3])])
    with pytest.raises(DataError, match="1 keys belong to several"):
        check_keys(samples)
