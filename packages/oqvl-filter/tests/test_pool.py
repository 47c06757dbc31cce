from __future__ import annotations

import pytest

from oqvl_filter.pool import check_count, pool_samples, read_pair
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, SampleError


@pytest.fixture
def pool(make_pool, pair, picture, uid_of) -> Dataset:
    good = picture()
    return make_pool(
        [
            [
                pair("given", good, "a", uid_of(1)),
                pair("derived", good, "b"),
                pair("broken-json", good, "c", json=b"{"),
                pair("no-image", None, "d", uid_of(4)),
                pair("broken-image", good[:40], "e", uid_of(5)),
            ]
        ]
    )


def test_every_key_has_an_identity(pool: Dataset, uid_of):
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = {sample.sample.key: sample for sample in pool_samples(reader, "pool")}
    assert samples["given"].uid == (uid_of(1), False)
    assert samples["derived"].uid.derived
    assert samples["broken-json"].reject == "not_json"
    assert samples["broken-json"].uid.derived
    assert {key for key, sample in samples.items() if sample.reject is None} == samples.keys() - {"broken-json"}


def test_what_the_reader_rejects_is_there_too(pool: Dataset):
    path = pool.path / "00000.tar"
    path.write_bytes(path.read_bytes()[:-2000])
    with ShardReader(path) as reader:
        assert reader.rejects
        samples = pool_samples(reader, "pool")
    assert len(samples) == 5
    assert samples[-1].reject == "truncated_shard"


def test_a_shard_holds_what_its_manifest_says(pool: Dataset):
    path = pool.path / "00000.tar"
    with ShardReader(path) as reader:
        check_count(reader, 5)
        for number in (4, 6):
            with pytest.raises(DataError, match=f"holds 5 samples, expected {number}"):
                check_count(reader, number)
    path.write_bytes(path.read_bytes()[:-2000])
    with ShardReader(path) as reader:
        check_count(reader, 4)
        check_count(reader, 5)


def test_a_pair_is_read_or_its_reason_raised(pool: Dataset):
    outcomes: dict[str, object] = {}
    with ShardReader(pool.path / "00000.tar") as reader:
        for sample in pool_samples(reader, "pool"):
            try:
                caption, image = read_pair(reader, sample, ReadLimits())
                outcomes[sample.sample.key] = (caption, image.size)
            except SampleError as error:
                outcomes[sample.sample.key] = str(error.reason)
    assert outcomes == {
        "given": ("a", (24, 16)),
        "derived": ("b", (24, 16)),
        "broken-json": "not_json",
        "no-image": "no_image",
        "broken-image": "image_broken",
    }
