from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.resharding.sample_table import PoolShard, find_samples, join_samples
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.uid import array_to_uids, uids_to_array

shards = st.lists(st.lists(st.integers(0, 12), max_size=8), min_size=1, max_size=5)


@given(shards)
def test_the_first_sample_of_a_uid_stands(found, check_members, numbers: list[list[int]]):
    samples, account = join_samples([found(part, index) for index, part in enumerate(numbers)])
    flat = [number for part in numbers for number in part]
    assert [int(low) for _, low in samples.uids.tolist()] == list(dict.fromkeys(flat))
    check_members(samples)
    assert account.num_in == len(flat)
    assert account.rejected.get("duplicate_uid", 0) == len(flat) - len(set(flat))


def test_bytes_of_a_sample_are_those_in_a_tar(found, tmp_path: Path):
    table = found([5, 3]).samples
    with TarWriter(tmp_path / "a.tar") as tar:
        for place, size in enumerate(table.sizes.tolist()):
            tar.add(f"{place}.txt", bytes(size))
    assert (tmp_path / "a.tar").stat().st_size == table.num_bytes.sum() + 1024


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
