"""Make one score file of one foreign file, or of the few files of one shard. Worker processes run this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from oqvl_filter.importers.annotations import read_annotations
from oqvl_filter.importers.config import (
    ImportAnnotationsConfig,
    ImportConfig,
    ImportDatacompConfig,
    ImportMlmFilterConfig,
)
from oqvl_filter.importers.csv_table import read_csv
from oqvl_filter.importers.datacomp import read_metadata
from oqvl_filter.importers.foreign_table import find_files, pick_columns, to_score_table, uids_of_shard
from oqvl_filter.importers.mlm_filter import read_answers, shard_of
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, account_of, is_number, write_table
from oqvl_shards.dataset import Dataset, describe_file
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Account, FieldSpec
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt


@dataclass(frozen=True)
class ImportJob:
    """One score file to make.

    Args:
        sources: The foreign files.
        file_name: Name of the score file.
    """

    sources: tuple[Path, ...]
    file_name: str

    def __str__(self) -> str:
        return str(self.sources[0])


def import_jobs(config: ImportConfig) -> list[ImportJob]:
    """Return one job per foreign file, or per shard if a shard has several files.

    Score files are called `00000.parquet` and so on.

    Raises:
        ConfigError: If there is no file.
    """
    paths = find_files(config.source, *config.suffixes)
    groups = [(path,) for path in paths]
    if isinstance(config, ImportMlmFilterConfig):
        by_shard = sorted(paths, key=lambda path: (shard_of(path), path.name))
        groups = [tuple(files) for _, files in groupby(by_shard, shard_of)]
    return [ImportJob(files, f"{index:05d}.parquet") for index, files in enumerate(groups)]


def describe_files(config: ImportConfig, jobs: Sequence[ImportJob]) -> list[tuple[str, str]]:
    """Return name and sha256 of every file that an import reads, in order, for the lineage.

    Raises:
        ConfigError: If a file of embeddings is missing.
    """
    paths = [path for job in jobs for path in job.sources]
    if isinstance(config, ImportDatacompConfig) and config.embeddings:
        vectors = [path.with_suffix(".npz") for path in paths]
        missing = [path for path in vectors if not path.is_file()]
        if missing:
            raise ConfigError(
                f"there is no file at {missing[0]}; {len(missing)} of {len(vectors)} .npz files are missing",
                hint="embeddings are in an .npz next to each .parquet; leave out embeddings= to import none",
            )
        paths += vectors
    return [(path.name, describe_file(path, path.parent, 0).sha256) for path in paths]


def import_file(job: ImportJob, config: ImportConfig, pool: Dataset | None, step: str) -> Receipt:
    """Write the score file of `job`, unless the same stage has done so already, and return its receipt."""
    finished = read_receipt(config.output, job.file_name, step)
    if finished is not None:
        return finished
    key_uids = None if pool is None else uids_of_shard(pool, job.sources[0].name)
    table, lost = to_score_table(_read_source(job, config), key_uids)
    write_table(table, config.output / job.file_name)
    account = account_of(table)
    receipt = Receipt(
        step=step,
        shard=describe_file(config.output / job.file_name, config.output, len(table)),
        account=Account(
            num_in=account.num_in + sum(lost.values()),
            num_kept=account.num_kept,
            rejected=dict(sorted({**account.rejected, **lost}.items())),
        ),
    )
    return write_receipt(config.output, receipt)


def score_fields(paths: Sequence[Path]) -> tuple[tuple[FieldSpec, ...], tuple[FieldSpec, ...]]:
    """Return the score columns of the score files that an import wrote, and those of them that hold numbers.

    Raises:
        DataError: If a column has different types in different files.
    """
    known = {field.name for field in (*IDENTITY_FIELDS, REJECT_FIELD)}
    types: dict[str, pa.DataType] = {}
    for path in paths:
        for field in pq.read_schema(path):
            if types.setdefault(field.name, field.type) != field.type:
                raise DataError(
                    f"{path}: the column {field.name} is of type {field.type}, in earlier files {types[field.name]}",
                    hint="import files of one layout, or name the columns that all of them have",
                )
    fields = {
        name: FieldSpec(name=name, dtype=str(type_), description="as imported")
        for name, type_ in types.items()
        if name not in known
    }
    return tuple(fields.values()), tuple(field for name, field in fields.items() if is_number(types[name]))


def _read_source(job: ImportJob, config: ImportConfig) -> pa.Table:
    """Return the rows of the foreign files: `uid` or `key`, and the requested scores."""
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


def _named(table: pa.Table, config: ImportConfig, path: Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Return the identity as `uid` or `key`, and the requested columns under their new names.

    Args:
        table: What was read.
        config: Names the columns.
        path: The file, for errors.
        columns: New names by the file's names; those of `config` by default.

    Raises:
        ConfigError: If a column is missing.
    """
    identity = config.identity_column
    if config.identity and identity not in table.column_names:
        raise ConfigError(f"{path}: found no identity column {identity!r}", hint=f"it has {table.column_names}")
    picked = pick_columns(table, config.columns if columns is None else columns, (identity, REJECT_FIELD.name), path)
    wanted = "uid" if config.pool is None else "key"
    return picked.rename_columns([wanted if name == identity else name for name in picked.column_names])
