from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.resharding import (
    FoundSamples,
    PoolShard,
    SampleTable,
    check_keys,
    fill_shards,
    find_samples,
    join_samples,
    shuffled,
)
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.tar.index import Member
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.uid import UID_DTYPE, array_to_uids, uids_to_array


def found(numbers: list[int], index: int = 0) -> FoundSamples:
    """Selected samples with the given uids; number n has n % 3 + 1 members, which tell whose they are."""
    counts = [number % 3 + 1 for number in numbers]
    owners = np.repeat(np.array(numbers, dtype=np.int64), counts)
    table = SampleTable(
        paths=(Path(f"{index}.tar"),),
        uids=np.array([(0, number) for number in numbers], dtype=UID_DTYPE),
        keys=np.array([f"{index}/{row}" for row in range(len(numbers))], dtype=object),
        tars=np.zeros(len(numbers), dtype=np.int64),
        ends=np.cumsum(counts, dtype=np.int64),
        offsets=owners * 1000 + index,
        sizes=owners * 100,
        suffixes=np.array([f"{owner}.txt" for owner in owners], dtype=object),
    )
    return FoundSamples(table, Account(num_in=len(numbers), num_kept=len(numbers)))


def check_members(table: SampleTable) -> None:
    """Every sample still has its own members, in its own tar."""
    keys = [f"new-{row}" for row in range(len(table))]
    expected = [
        (table.paths[tar], Member(f"{key}.{number}.txt", number * 1000 + int(table.paths[tar].stem), number * 100))
        for key, tar, (_, number) in zip(keys, table.tars.tolist(), table.uids.tolist(), strict=True)
        for _ in range(number % 3 + 1)
    ]
    assert [(path, member) for path, members in table.pieces(keys) for member in members] == expected


shards = st.lists(st.lists(st.integers(0, 12), max_size=8), min_size=1, max_size=5)


@given(shards)
def test_the_first_sample_of_a_uid_stands(numbers: list[list[int]]):
    samples, account = join_samples([found(part, index) for index, part in enumerate(numbers)])
    flat = [number for part in numbers for number in part]
    assert [int(low) for _, low in samples.uids.tolist()] == list(dict.fromkeys(flat))
    check_members(samples)
    assert account.num_in == len(flat)
    assert account.rejected.get("duplicate_uid", 0) == len(flat) - len(set(flat))


@given(
    shards,
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 40).map(lambda n: n * 512)),
    st.one_of(st.none(), st.integers(0, 3)),
)
def test_shards_hold_what_fits_in_order(numbers, max_samples: int, max_bytes: int | None, seed: int | None):
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


def test_a_shard_may_be_full_to_the_last_byte():
    samples, _ = join_samples([found([0, 3, 6, 9])])
    assert samples.num_bytes.tolist() == [512, 1024, 1536, 1536]
    filled = fill_shards(samples, np.arange(4), 7, 1536)
    assert [len(part) for part in filled] == [2, 1, 1]
    assert [len(part) for part in fill_shards(samples, np.arange(4), 7, 1)] == [1, 1, 1, 1]


def test_bytes_of_a_sample_are_those_in_a_tar(tmp_path: Path):
    table = found([5, 3]).samples
    with TarWriter(tmp_path / "a.tar") as tar:
        for place, size in enumerate(table.sizes.tolist()):
            tar.add(f"{place}.txt", bytes(size))
    assert (tmp_path / "a.tar").stat().st_size == table.num_bytes.sum() + 1024


def test_a_shuffle_does_not_depend_on_where_samples_lie():
    one, _ = join_samples([found(list(range(40)), 0)])
    two, _ = join_samples([found(list(range(39, 19, -1)), 0), found(list(range(20)), 1)])
    orders = [table.uids[shuffled(table, 7)].tolist() for table in (one, two)]
    assert orders[0] == orders[1]
    assert orders[0] != one.uids[shuffled(one, 8)].tolist()
    assert sorted(orders[0]) == one.uids.tolist()


def test_every_sample_of_a_shard_is_accounted_for(make_pool, pair, picture, uid_of, tmp_path: Path):
    pool = make_pool(
        [[pair(f"{n}", picture(), "x", uid_of(n)) for n in range(4)] + [pair("bad", picture(), "x", json=b"[")]]
    )
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(1), uid_of(3), uid_of(77)]))
    result = find_samples(PoolShard(pool.path / "00000.tar", "00000.tar", 5, "pool"), (tmp_path / "a.npy",))
    assert array_to_uids(result.samples.uids) == [uid_of(1), uid_of(3)]
    assert result.samples.keys.tolist() == ["1", "3"]
    assert result.samples.suffixes.tolist() == ["png", "txt", "json"] * 2
    assert result.account == Account(num_in=5, num_kept=2, rejected={"not_selected": 3})


def test_a_shard_that_has_lost_samples_is_an_error(make_pool, plain_pairs, uid_of, tmp_path: Path):
    path = make_pool([plain_pairs(4)]).path / "00000.tar"
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(1)]))
    whole = path.read_bytes()
    path.write_bytes(whole[:1536] + bytes(len(whole) - 1536))
    with pytest.raises(DataError, match=r"holds [01] samples, expected 4") as error:
        find_samples(PoolShard(path, path.name, 4, "pool"), (tmp_path / "a.npy",))
    assert "oqvl-shards check" in error.value.hint


def test_original_keys_must_be_distinct():
    samples, _ = join_samples([found([1, 2]), found([3])])
    with pytest.raises(DataError, match="1 keys belong to several"):
        check_keys(samples)
