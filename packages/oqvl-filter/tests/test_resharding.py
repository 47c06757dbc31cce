from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.resharding import FoundSamples, PoolShard, check_keys, drop_duplicates, fill_shards, find_samples
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.uid import UID_DTYPE, array_to_uids, uids_to_array


def found(numbers: list[int], index: int = 0) -> FoundSamples:
    """Selected samples with the given uids, at rows 0, 1, ... of a shard."""
    return FoundSamples(
        shard=PoolShard(Path(f"{index}.tar"), f"{index}.tar", "pool"),
        rows=np.arange(len(numbers)),
        uids=np.array([(0, number) for number in numbers], dtype=UID_DTYPE),
        keys=tuple(f"{index}/{row}" for row in range(len(numbers))),
        account=Account(num_in=len(numbers), num_kept=len(numbers)),
    )


shards = st.lists(st.lists(st.integers(0, 12), max_size=8), min_size=1, max_size=5)


@given(shards)
def test_the_first_sample_of_a_uid_stands(numbers: list[list[int]]):
    distinct = drop_duplicates([found(part, index) for index, part in enumerate(numbers)])
    flat = [number for part in numbers for number in part]
    assert [int(low) for one in distinct for _, low in one.uids.tolist()] == list(dict.fromkeys(flat))
    account = Account.total(one.account for one in distinct)
    assert account.num_in == len(flat)
    assert account.rejected.get("duplicate_uid", 0) == len(flat) - len(set(flat))


@given(shards, st.integers(1, 7))
def test_shards_are_full_but_the_last_and_keep_the_order(numbers: list[list[int]], samples_per_shard: int):
    parts = [found(part, index) for index, part in enumerate(numbers)]
    filled = list(fill_shards(parts, samples_per_shard))
    sizes = [sum(map(len, sources)) for sources in filled]
    assert all(size == samples_per_shard for size in sizes[:-1])
    assert all(0 < size <= samples_per_shard for size in sizes)
    keys = [key for sources in filled for source in sources for key in source.keys]
    assert keys == [key for part in parts for key in part.keys]


def test_every_sample_of_a_shard_is_accounted_for(make_pool, pair, picture, uid_of):
    pool = make_pool(
        [[pair(f"{n}", picture(), "x", uid_of(n)) for n in range(4)] + [pair("bad", picture(), "x", json=b"[")]]
    )
    subset = uids_to_array([uid_of(1), uid_of(3), uid_of(77)])
    result = find_samples(PoolShard(pool.path / "00000.tar", "00000.tar", "pool"), subset)
    assert array_to_uids(result.uids) == [uid_of(1), uid_of(3)]
    assert (result.rows.tolist(), result.keys) == ([1, 3], ("1", "3"))
    assert result.account == Account(num_in=5, num_kept=2, rejected={"not_selected": 3})


def test_original_keys_must_be_distinct():
    with pytest.raises(DataError, match="1 keys belong to several"):
        check_keys([found([1, 2]), found([3])])
