"""The configurations of `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from oqvl_filter.paths import ending_in
from oqvl_shards.config import MappedConfig, Names, StageConfig
from oqvl_shards.tar.sample import ReadLimits


class ImportLimits(StageConfig):
    """Caps on what is read from foreign files of scores."""

    max_file_bytes: int = Field(default=4 << 30, gt=0, description="size of the largest file that is read, in bytes")
    max_unpacked_bytes: int = Field(
        default=8 << 30,
        gt=0,
        description="size that a compressed file, or one matrix in it, may unpack to, in bytes",
    )


class ImportConfig(MappedConfig):
    """What all imports of scores have in common."""

    source: Path = Field(description="the file, or the folder with the files", json_schema_extra={"lineage": False})
    output: Path = Field(description="directory of the scores", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the score dataset")
    columns: dict[str, str] = Field(
        default={}, description="columns to import and their new names: columns.THEIRS=OURS; none: all that fit"
    )
    pool: Path | None = Field(
        default=None,
        description="dataset of kind image_text whose keys the rows name, if the rows have no uid; "
        "00000012_su.parquet and 12.json are about 00000012.tar",
        json_schema_extra={"lineage": False},
    )
    identity: str = Field(
        default="", description="column of the uid, or with pool of the key; empty: the column uid, or key"
    )
    limits: ImportLimits = Field(default=ImportLimits(), description="caps on what is read")

    layout: ClassVar[str]
    """Layout of the files; the command is `import LAYOUT`."""

    suffixes: ClassVar[tuple[str, ...]]
    """Suffixes of the files."""

    @model_validator(mode="after")
    def _has_new_names(self) -> Self:
        names = list(self.columns.values())
        if taken := [name for name in names if name in ("", "uid", "uid_derived", "key", "reject")]:
            raise ValueError(
                f"found the new names {taken}, which are empty or taken: every score file has such a column"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"found the new names {twice} more than once: give each column a name of its own")
        return self

    @property
    def identity_column(self) -> str:
        """The column that tells which sample a row is about."""
        return self.identity or ("uid" if self.pool is None else "key")


class ImportDatacompConfig(ImportConfig):
    """Configuration of `import datacomp`."""

    layout: ClassVar[str] = "datacomp"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)

    columns: dict[str, str] = Field(
        default={},
        description="columns to import and their new names: columns.THEIRS=OURS; none: the published columns, as "
        "width, height, clip_b32, clip_l14 and content_sha",
    )
    embeddings: Names = Field(
        default=(), description="matrices of the .npz next to each file to import as columns, e.g. l14_img"
    )


class ImportMlmFilterConfig(ImportConfig):
    """Configuration of `import mlm-filter`."""

    layout: ClassVar[str] = "mlm-filter"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)


class ImportAnnotationsConfig(ImportConfig):
    """Configuration of `import annotations`."""

    layout: ClassVar[str] = "annotations"
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".jsonl")


class ImportCsvConfig(ImportConfig):
    """Configuration of `import csv`."""

    layout: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)


class ImportUidsConfig(StageConfig):
    """Configuration of `import uids`."""

    source: Path = Field(
        description="a .npy of dtype u8,u8, or a text file with one uid per line",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the subset", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the subset")


class ImportPicturesConfig(StageConfig):
    """Configuration of `import pictures`."""

    source: Path = Field(
        description="a dataset of kind benchmark, or a folder with image files", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the pool", json_schema_extra={"lineage": False})
    name: str = Field(min_length=1, description="name of the pool")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is accepted as a picture")


class ImportPromptsConfig(StageConfig):
    """Configuration of `import prompts`."""

    source: Path = Field(description="scoring script of an MLM-Filter checkout, or a folder whose scripts agree")
    output: Annotated[Path, ending_in(".toml")] = Field(
        description="TOML file of the prompt set; an older one is replaced", json_schema_extra={"lineage": False}
    )
    name: str = Field(default="mlm_filter", min_length=1, description="name of the prompt set")
