"""Configuration of the imports. The lineage holds digests of the inputs, but no paths."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from oqvl_shards.config import MappedConfig
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Sha256


class DamagedShards(StrEnum):
    """The treatment of a tar that is cut or has a broken header."""

    FAIL = "fail"
    LEAVE_OUT = "leave_out"
    SALVAGE = "salvage"


class ImportWebdatasetConfig(MappedConfig):
    """Configuration of `import webdataset`."""

    directory: Path = Field(
        description="folder with .tar files in it or below it; the manifest is written into it",
        json_schema_extra={"lineage": False},
    )
    name: str = Field(min_length=1, description="name of the dataset; samples without a uid get one derived from it")
    damaged_shards: DamagedShards = Field(
        default=DamagedShards.FAIL,
        description="fail: stop at a cut or broken tar; leave_out: reject all of its samples and "
        "continue; salvage: use the samples in it that are whole",
    )


class ConversionConfig(MappedConfig):
    """The fields of every import that writes new shards."""

    output: Path = Field(description="directory of the new dataset", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the dataset")
    source_sha256: Sha256 | None = Field(
        default=None, description="digest that the source must have; the lineage holds its actual digest in any case"
    )
    records_per_shard: int = Field(default=1000, gt=0, description="records per shard")

    def pinned(self, source_sha256: str) -> Self:
        """Return the configuration with `source_sha256` filled in.

        A source is not a dataset, so the lineage records this digest in place of a parent's.

        Args:
            source_sha256: The source's digest.

        Raises:
            ConfigError: If another digest is configured.
        """
        if self.source_sha256 not in (None, source_sha256):
            raise ConfigError(
                f"source_sha256: the source has {source_sha256}, expected {self.source_sha256}",
                hint="fetch the source again, or leave source_sha256 out",
            )
        return self.model_copy(update={"source_sha256": source_sha256})


class ImportLlavaConfig(ConversionConfig):
    """Configuration of `import llava`."""

    annotations: Path = Field(
        description="JSON file with an array of records, or JSONL file with one per line; source_sha256: of its bytes",
        json_schema_extra={"lineage": False},
    )
    images: Path = Field(
        description="folder that the image paths in the records are relative to", json_schema_extra={"lineage": False}
    )


class ImportPackedJsonConfig(ConversionConfig):
    """Configuration of `import packed-json`."""

    source: Path = Field(
        description="folder with *_packed.json files in it or below it; source_sha256: of their names and sizes",
        json_schema_extra={"lineage": False},
    )
    kind: Literal["image_text", "interleaved"] = Field(
        default="image_text", description="what the packs hold: captions, or interleaved documents (OBELICS)"
    )
    max_record_bytes: int = Field(
        default=256 << 20, gt=0, description="largest sample to parse, in bytes, including its images in base64"
    )


class ImportObelicsConfig(ConversionConfig):
    """Configuration of `import obelics`."""

    source: Path = Field(
        description="a .tar, .jsonl or .json file, or a folder of them; source_sha256: of their names and sizes",
        json_schema_extra={"lineage": False},
    )
    max_record_bytes: int = Field(
        default=256 << 20, gt=0, description="largest document to parse, in bytes, including its images in base64"
    )
