"""The stage `reshard`."""

from __future__ import annotations

from functools import partial

import numpy as np

from oqvl_filter.resharding.config import ReshardConfig
from oqvl_filter.resharding.copying import CopyJob, check_keys, copy_samples, fill_shards, shuffled
from oqvl_filter.resharding.report import ReshardReport
from oqvl_filter.resharding.sample_table import PoolShard, SampleTable, find_samples, join_samples
from oqvl_filter.subset import Subset, open_subset
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account, ImageTextDetails, Kind
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import stage_output


def reshard(config: ReshardConfig) -> ReshardReport:
    """Copy the samples of a subset into new shards, byte for byte.

    Raises:
        ManifestError: If an input is of another kind.
        ConfigError: If the output holds something else.
        DataError: If a shard cannot be read, no uid of the subset is in the pools, or original keys repeat.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    subset = open_subset(config.subset)
    parents = [*(pool.manifest for pool in pools), *([subset.manifest] if subset.manifest else [])]
    pinned = {"subset": subset.digest}
    with stage_output("oqvl-filter reshard", config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            samples, account = _find_selected(config, pools, subset)
            if config.keys == "original":
                check_keys(samples)
            order = np.arange(len(samples)) if config.shuffle_seed is None else shuffled(samples, config.shuffle_seed)
            shards = fill_shards(samples, order, config.samples_per_shard, config.bytes_per_shard)
            jobs = [
                CopyJob(f"{index:05d}.tar", rows, config.keys, config.output, output.step)
                for index, rows in enumerate(shards)
            ]
            output.finish(
                name=config.name,
                details=ImageTextDetails(),
                shards=map_shards(copy_samples, jobs, **config.workers, description="reshard"),
                account=account,
                fields=pools[0].manifest.fields,
                statistics={"missing_uids": len(subset.uids) - account.num_kept},
            )
    return ReshardReport.of(output.finished())


def _find_selected(config: ReshardConfig, pools: list[Dataset], subset: Subset) -> tuple[SampleTable, Account]:
    """Return where the members of all selected samples are, and what became of every sample of the pools.

    Raises:
        DataError: If the subset is empty, or none of its uids is in the pools.
    """
    num_uids = len(subset.uids)
    if not num_uids:
        raise DataError(f"{config.subset} holds no uid", hint="its account says which condition kept nothing")
    found = map_shards(
        partial(find_samples, subset=subset.paths),
        [
            PoolShard(pool.whole_shard_path(shard), shard.path, shard.num_samples, pool.manifest.name)
            for pool in pools
            for shard in pool.manifest.shards
        ],
        **config.workers,
        description="find samples",
    )
    samples, account = join_samples(found)
    if not account.num_kept:
        raise DataError(
            f"none of the {num_uids} uids of {config.subset} is in the {len(pools)} pool(s)",
            hint="check that the subset was selected from these pools",
        )
    return samples, account
