from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from oqvl_filter.config import ReshardConfig
from oqvl_filter.resharding import run as resharding_run
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import uids_to_array


@pytest.fixture
def pool(make_pool, plain_pairs) -> Dataset:
    return make_pool([plain_pairs(4), plain_pairs(4, start=4)])


def reshard(pool: Dataset, numbers: range, uid_of, name: str, **values):
    directory = pool.path.parent
    np.save(directory / f"{name}.npy", uids_to_array([uid_of(number) for number in numbers]))
    config = {"pools": pool.path, "subset": directory / f"{name}.npy", "output": directory / name, "name": name}
    return resharding_run.reshard(ReshardConfig.from_values({**config, **values}))


def keys_of(directory: Path) -> list[list[str]]:
    """The keys in each tar, in order, as the standard library reads them."""
    keys = []
    for path in sorted(directory.glob("*.tar")):
        with tarfile.open(path) as tar:
            keys.append(list(dict.fromkeys(name.partition(".")[0] for name in tar.getnames())))
    return keys


def test_every_sample_of_the_pools_is_accounted_for(pool: Dataset, uid_of):
    report = reshard(pool, range(2, 11), uid_of, "kept")
    assert report.account.model_dump() == {"num_in": 8, "num_kept": 6, "rejected": {"not_selected": 2}}
    assert report.num_missing == 3


def test_shards_are_filled_in_the_order_of_the_pools(pool: Dataset, uid_of):
    reshard(pool, range(1, 8), uid_of, "kept", samples_per_shard=3, keys="original")
    assert keys_of(pool.path.parent / "kept") == [
        ["000001", "000002", "000003"],
        ["000004", "000005", "000006"],
        ["000007"],
    ]


def test_a_seed_decides_a_shuffle(pool: Dataset, uid_of):
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        reshard(pool, range(8), uid_of, name, shuffle_seed=seed, keys="original")
        orders.append(keys_of(pool.path.parent / name))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0][0]) == sorted(orders[2][0])


def test_the_lineage_pins_the_subset(pool: Dataset, uid_of):
    reshard(pool, range(3), uid_of, "kept")
    config = open_dataset(pool.path.parent / "kept").manifest.lineage.config
    assert sorted(config) == ["config", "subset"]
    assert len(config["subset"]) == 64
    with pytest.raises(ConfigError, match="other values of subset"):
        reshard(pool, range(4), uid_of, "kept")


def test_repeated_original_keys_are_refused_and_nothing_is_left(make_pool, plain_pairs, pair, picture, uid_of):
    same = pair("000001", picture((5, 5, 5)), "same key", uid_of(50))
    pool = make_pool([plain_pairs(3), [same]])
    with pytest.raises(DataError, match="1 keys belong to several") as error:
        reshard(pool, range(60), uid_of, "kept", keys="original")
    assert error.value.hint == "use keys=uid, which are distinct"
    assert not (pool.path.parent / "kept").exists()
    assert reshard(pool, range(60), uid_of, "kept").account.num_kept == 4
