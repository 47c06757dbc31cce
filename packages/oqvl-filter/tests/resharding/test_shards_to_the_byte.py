"""New shards end to end: where they are cut, what is in them, and whose sample of a shared uid they hold."""

from __future__ import annotations

import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oqvl_filter import run
from oqvl_filter.config import ReshardConfig
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import uids_to_array

END = 1024
"""Bytes of the two empty blocks that end a tar."""


def reshard(pools: list[Dataset], uids: list[str], output: Path, **values: Any) -> list[list[dict[str, bytes]]]:
    """Reshard `uids`, and return per shard and sample the members by their suffix, and the key."""
    np.save(output.with_suffix(".npy"), uids_to_array(uids))
    config = {"pools": [pool.path for pool in pools], "subset": output.with_suffix(".npy"), "output": output}
    run.reshard(ReshardConfig.from_values({**config, "name": output.name, **values}))
    return [samples_of(path) for path in sorted(output.glob("*.tar"))]


def samples_of(path: Path) -> list[dict[str, bytes]]:
    """The samples of a tar as the standard library reads it."""
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None and member.mtime == 0
            samples.setdefault(key, {"key": key.encode()})[suffix] = file.read()
    return list(samples.values())


def bytes_of(sample: dict[str, bytes]) -> int:
    return sum(512 * (1 + -(-len(content) // 512)) for suffix, content in sample.items() if suffix != "key")


@pytest.fixture
def pool(make_pool, pair, picture, uid_of) -> Dataset:
    """Twelve samples of different sizes, one of them much larger, one of exactly a block."""
    captions = ["x" * size for size in (1, 511, 512, 513, 1024, 5000, 2, 3, 600, 4, 5, 1025)]
    pairs = [pair(f"{n:03d}", picture((n, 5, 5)), caption, uid_of(n)) for n, caption in enumerate(captions)]
    return make_pool([pairs[:5], pairs[5:]])


def test_members_keep_every_byte(pool: Dataset, uid_of, tmp_path: Path):
    (samples,) = reshard([pool], [uid_of(n) for n in range(12)], tmp_path / "kept", keys="original")
    originals = [sample for name in ("00000", "00001") for sample in samples_of(pool.path / f"{name}.tar")]
    assert samples == originals


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_a_shard_is_cut_where_one_more_byte_would_be_too_many(pool: Dataset, uid_of, tmp_path: Path, spare: int):
    uids = [uid_of(n) for n in range(12)]
    (whole,) = reshard([pool], uids, tmp_path / "whole")
    first_four = sum(map(bytes_of, whole[:4]))
    shards = reshard([pool], uids, tmp_path / "cut", bytes_per_shard=first_four + spare)
    assert len(shards[0]) == (3 if spare < 0 else 4)
    assert [sample for shard in shards for sample in shard] == whole
    for path, samples in zip(sorted((tmp_path / "cut").glob("*.tar")), shards, strict=True):
        assert path.stat().st_size == sum(map(bytes_of, samples)) + END
        assert len(samples) == 1 or sum(map(bytes_of, samples)) <= first_four + spare
    sizes = [list(map(bytes_of, samples)) for samples in shards]
    for size, following in pairwise(sizes):
        assert sum(size) + following[0] > first_four + spare


def test_one_byte_per_shard_gives_every_sample_a_shard(pool: Dataset, uid_of, tmp_path: Path):
    shards = reshard([pool], [uid_of(n) for n in range(12)], tmp_path / "kept", bytes_per_shard=1)
    assert [len(samples) for samples in shards] == [1] * 12


@pytest.mark.parametrize(("per_shard", "sizes"), [(1, [1] * 12), (5, [5, 5, 2]), (6, [6, 6]), (12, [12]), (13, [12])])
def test_the_last_shard_holds_the_rest(pool: Dataset, uid_of, tmp_path: Path, per_shard: int, sizes: list[int]):
    uids = [uid_of(n) for n in range(12)]
    shards = reshard([pool], uids, tmp_path / "kept", samples_per_shard=per_shard)
    assert [len(samples) for samples in shards] == sizes
    manifest = open_dataset(tmp_path / "kept").manifest
    assert [shard.num_samples for shard in manifest.shards] == sizes
    assert manifest.num_samples == 12


def test_both_limits_hold_at_once(pool: Dataset, uid_of, tmp_path: Path):
    uids = [uid_of(n) for n in range(12)]
    shards = reshard([pool], uids, tmp_path / "kept", samples_per_shard=2, bytes_per_shard=9500)
    sizes = [list(map(bytes_of, samples)) for samples in shards]
    assert sum(map(len, sizes)) == 12
    assert {len(size) for size in sizes[:-1]} == {1, 2}, "neither limit alone decides"
    assert all(len(size) == 1 or (len(size) <= 2 and sum(size) <= 9500) for size in sizes)
    assert all(len(size) == 2 or sum(size) + following[0] > 9500 for size, following in pairwise(sizes))


def test_a_shuffle_is_decided_by_uids_and_seed_alone(pool: Dataset, make_pool, pair, picture, uid_of, tmp_path: Path):
    """The same samples in one shard in reverse give the same bytes under keys that are uids."""
    uids = [uid_of(n) for n in range(12)]
    samples = [sample for name in ("00000", "00001") for sample in samples_of(pool.path / f"{name}.tar")]
    moved = make_pool(
        [[pair(f"m{n}", sample["png"], sample["txt"].decode(), uid_of(n)) for n, sample in enumerate(samples)][::-1]],
        "moved",
    )
    shuffled = {
        (source.manifest.name, seed): reshard(
            [source], uids, tmp_path / f"{source.manifest.name}{seed}", shuffle_seed=seed
        )
        for source in (pool, moved)
        for seed in (0, 1, 2**64 - 1)
    }
    for seed in (0, 1, 2**64 - 1):
        assert shuffled["pool", seed] == shuffled["moved", seed]
    orders = [[sample["key"] for sample in shuffled["pool", seed][0]] for seed in (0, 1, 2**64 - 1)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(f"{uid}-0".encode() for uid in uids) for order in orders)


def test_of_a_uid_in_two_pools_the_first_pools_sample_is_copied(
    pool: Dataset, make_pool, pair, picture, uid_of, tmp_path
):
    other = make_pool([[pair(f"o{n}", picture((200, n, 0)), f"other {n}", uid_of(n)) for n in (3, 20, 4)]], "other")
    uids = [uid_of(n) for n in (3, 4, 20)]
    (first,) = reshard([pool, other], uids, tmp_path / "first", keys="original")
    (second,) = reshard([other, pool], uids, tmp_path / "second", keys="original")
    assert [sample["key"].decode() for sample in first] == ["003", "004", "o20"]
    assert [sample["key"].decode() for sample in second] == ["o3", "o20", "o4"]
    account = open_dataset(tmp_path / "first").manifest.account
    assert account.model_dump() == {
        "num_in": 15,
        "num_kept": 3,
        "rejected": {"duplicate_uid": 2, "not_selected": 10},
    }


def test_original_keys_that_two_pools_share_are_refused_by_name(
    pool: Dataset, make_pool, pair, picture, uid_of, tmp_path
):
    other = make_pool([[pair("003", picture(), "x", uid_of(50)), pair("own", picture(), "y", uid_of(51))]], "other")
    uids = [uid_of(n) for n in (3, 50, 51)]
    with pytest.raises(DataError, match="1 keys belong to several selected samples; the first one is '003'") as error:
        reshard([pool, other], uids, tmp_path / "kept", keys="original")
    assert "keys=uid" in error.value.hint
    # Only what is selected counts.
    (samples,) = reshard([pool, other], uids[1:], tmp_path / "fewer", keys="original")
    assert [sample["key"] for sample in samples] == [b"003", b"own"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"samples_per_shard": 0}, "samples_per_shard"),
        ({"bytes_per_shard": 0}, "bytes_per_shard"),
        ({"shuffle_seed": 2**64}, "shuffle_seed"),
        ({"shuffle_seed": -1}, "shuffle_seed"),
        ({"keys": "number"}, "keys"),
        ({"pools": []}, "pools"),
        ({"name": ""}, "name"),
    ],
)
def test_a_setting_that_makes_no_shards_is_refused(values: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        ReshardConfig.from_values({"pools": ["p"], "subset": "s.npy", "output": "o", "name": "n", **values})


@pytest.mark.parametrize(
    ("uids", "problem", "hint"),
    [
        ([], "holds no uid", "which condition kept nothing"),
        (["f" * 32], r"none of the 1 uids .* is in the 1 pool", "selected from these pools"),
    ],
)
def test_a_subset_that_keeps_nothing_leaves_no_output(pool: Dataset, tmp_path: Path, uids, problem: str, hint: str):
    with pytest.raises(DataError, match=problem) as error:
        reshard([pool], uids, tmp_path / "kept")
    assert hint in error.value.hint
    assert not (tmp_path / "kept").exists()
