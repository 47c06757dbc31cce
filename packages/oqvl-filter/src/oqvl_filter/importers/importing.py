"""Bring one foreign file, or the few of one shard, to one score file; what runs in a worker process is here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from oqvl_filter.config import (
    ImportAnnotationsConfig,
    ImportConfig,
    ImportDatacompConfig,
    ImportMlmFilterConfig,
)
from oqvl_filter.importers.annotations import read_annotations
from oqvl_filter.importers.csv_table import read_csv
from oqvl_filter.importers.datacomp import read_metadata
from oqvl_filter.importers.foreign_table import find_files, pick_columns, to_score_table, uids_of_shard
from oqvl_filter.importers.mlm_filter import read_answers, shard_of
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, account_of, is_number, write_table
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Account, FieldSpec, Sha256
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt

SUFFIXES = {
    "datacomp": (".parquet",),
    "mlm-filter": (".parquet",),
    "annotations": (".json", ".jsonl"),
    "csv": (".csv",),
}
"""Endings of the files of each layout."""


class ImportStep(StageConfig):
    """What the lineage of an import records: the configuration, and the files by name and content."""

    config: ImportConfig = Field(description="the configuration")
    files: tuple[tuple[str, Sha256], ...] = Field(description="name and digest of every file, in order")

    @classmethod
    def of(cls, config: ImportConfig, jobs: Sequence[ImportJob]) -> ImportStep:
        """Describe the import of the files of `jobs`.

        Raises:
            ConfigError: When a file of embeddings is missing.
        """
        paths = [path for job in jobs for path in job.sources]
        if isinstance(config, ImportDatacompConfig) and config.embeddings:
            vectors = [path.with_suffix(".npz") for path in paths]
            missing = [path for path in vectors if not path.is_file()]
            if missing:
                raise ConfigError(
                    f"there is no file at {missing[0]}, {len(missing)} of {len(vectors)} are missing",
                    hint="embeddings lie in an .npz beside each .parquet; without embeddings= they are not read",
                )
            paths += vectors
        return cls(config=config, files=tuple((path.name, digest_file(path)) for path in paths))


@dataclass(frozen=True)
class ImportJob:
    """One score file to make.

    Args:
        sources: The foreign files.
        file_name: Of the score file.
    """

    sources: tuple[Path, ...]
    file_name: str

    def __str__(self) -> str:
        return str(self.sources[0])


def import_jobs(config: ImportConfig) -> list[ImportJob]:
    """Return one job a foreign file, or a shard's files; score files are `00000.parquet` and so on.

    Raises:
        ConfigError: When there is no file.
    """
    paths = find_files(config.source, *SUFFIXES[config.layout])
    groups = [(path,) for path in paths]
    if isinstance(config, ImportMlmFilterConfig):
        groups = [tuple(files) for _, files in groupby(sorted(paths, key=lambda p: (shard_of(p), p.name)), shard_of)]
    return [ImportJob(files, f"{index:05d}.parquet") for index, files in enumerate(groups)]


def import_file(job: ImportJob, config: ImportConfig, pool: Dataset | None, step: str) -> Receipt:
    """Write the score file of `job`, unless the same step has done so already; return its receipt."""
    finished = read_receipt(config.output, job.file_name, step)
    if finished is not None:
        return finished
    key_uids = None if pool is None else uids_of_shard(pool, job.sources[0].name)
    table, lost = to_score_table(read_source(job, config), key_uids)
    write_table(table, config.output / job.file_name)
    account = account_of(table)
    num_lost = sum(lost.values())
    receipt = Receipt(
        step=step,
        shard=describe_file(config.output / job.file_name, config.output, len(table)),
        account=Account(
            num_in=account.num_in + num_lost,
            num_kept=account.num_kept,
            rejected=dict(sorted({**account.rejected, **lost}.items())),
        ),
    )
    write_receipt(config.output, receipt)
    return receipt


def read_source(job: ImportJob, config: ImportConfig) -> pa.Table:
    """Return the rows of the foreign files: `uid` or `key`, and the scores that are asked for."""
    (path, *_) = job.sources
    match config:
        case ImportDatacompConfig():
            return _named(read_metadata(path, config), config, path, columns={})
        case ImportMlmFilterConfig():
            return _named(read_answers(job.sources, config.identity_column, config.limits), config, path)
        case ImportAnnotationsConfig():
            return _named(read_annotations(path, config.identity_column, config.limits), config, path)
        case _:
            return _named(read_csv(path, config.identity_column, config.limits), config, path)


def score_fields(paths: Sequence[Path]) -> tuple[tuple[FieldSpec, ...], tuple[FieldSpec, ...]]:
    """Return the score columns of the score files that an import has written, and which of them are numbers.

    Raises:
        DataError: When a column is of several types.
    """
    known = {field.name for field in (*IDENTITY_FIELDS, REJECT_FIELD)}
    types: dict[str, pa.DataType] = {}
    for path in paths:
        for field in pq.read_schema(path):
            if types.setdefault(field.name, field.type) != field.type:
                raise DataError(
                    f"{path}: the column {field.name} is of type {field.type}, in files before it {types[field.name]}",
                    hint="import files of one layout, or name the columns that all have in common",
                )
    fields = {
        name: FieldSpec(name=name, dtype=str(type_), description="as imported")
        for name, type_ in types.items()
        if name not in known
    }
    return tuple(fields.values()), tuple(field for name, field in fields.items() if is_number(types[name]))


def digest_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(table: pa.Table, config: ImportConfig, path: Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Return the identity as `uid` or `key`, and the columns that are asked for."""
    identity = config.identity_column
    if config.identity and identity not in table.column_names:
        raise ConfigError(f"{path}: found no column {identity!r}, the identity", hint=f"it has {table.column_names}")
    picked = pick_columns(table, config.columns if columns is None else columns, (identity, REJECT_FIELD.name), path)
    wanted = "uid" if config.pool is None else "key"
    return picked.rename_columns([wanted if name == identity else name for name in picked.column_names])
