"""Configuration of the imports. Paths do not go into the lineage; what the sources held does, see `oqvl_shards.run`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from oqvl_shards.config import StageConfig


class DamagedShards(StrEnum):
    """What to do when a tar is cut or has a broken header."""

    FAIL = "fail"
    LEAVE_OUT = "leave_out"


class ImportWebdatasetConfig(StageConfig):
    """Configuration of `import webdataset`."""

    directory: Path = Field(
        description="folder of .tar files, also in subfolders; the manifest is written into it",
        json_schema_extra={"lineage": False},
    )
    name: str = Field(min_length=1, description="name of the dataset; uids of samples that have none derive from it")
    damaged_shards: DamagedShards = Field(
        default=DamagedShards.FAIL,
        description="fail: stop at a cut or broken tar; leave_out: reject all of its samples and go on",
    )
    num_workers: int = Field(
        default=1, ge=1, description="processes that read shards", json_schema_extra={"lineage": False}
    )


class ImportLlavaConfig(StageConfig):
    """Configuration of `import llava`."""

    annotations: Path = Field(
        description="JSON file with one array of records, or JSONL file with one record a line; its sha256 is recorded",
        json_schema_extra={"lineage": False},
    )
    images: Path = Field(
        description="folder that the records' image paths start from", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the new dataset", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the dataset")
    records_per_shard: int = Field(default=1000, gt=0, description="records that one shard is made from")
    num_workers: int = Field(
        default=1, ge=1, description="processes that write shards", json_schema_extra={"lineage": False}
    )


class ImportObelicsConfig(StageConfig):
    """Configuration of `import obelics`."""

    source: Path = Field(
        description="a .tar, .jsonl or .json file, or a folder of them; their names and sizes are recorded",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the new dataset", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the dataset")
    records_per_shard: int = Field(default=1000, gt=0, description="documents that one shard is made from")
    max_record_bytes: int = Field(
        default=256 << 20, gt=0, description="largest document that is parsed, its images in base64 included, in bytes"
    )
    num_workers: int = Field(
        default=1, ge=1, description="processes that write shards", json_schema_extra={"lineage": False}
    )
