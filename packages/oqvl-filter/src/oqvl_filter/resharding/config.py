"""The configuration of `reshard`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from oqvl_shards.config import MappedConfig, Paths


class ReshardConfig(MappedConfig):
    """Configuration of `reshard`."""

    pools: Paths = Field(
        min_length=1,
        description="datasets of kind image_text, in the order of the output",
        json_schema_extra={"lineage": False},
    )
    subset: Path = Field(
        description="what to keep: a dataset of kind subset, or a .npy of dtype u8,u8",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the new shards", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the new dataset")
    samples_per_shard: int = Field(default=10_000, gt=0, description="maximum number of samples per shard")
    bytes_per_shard: int | None = Field(
        default=None, gt=0, description="maximum number of bytes per shard, headers included; unset: no limit"
    )
    shuffle_seed: int | None = Field(
        default=None,
        ge=0,
        lt=1 << 64,
        description="seed of a shuffle of all samples over all shards; unset: the order of the pools",
    )
    keys: Literal["uid", "original"] = Field(
        default="uid", description="keys of the samples: uid for {uid}-0 as in DataComp, original for the pool's keys"
    )
