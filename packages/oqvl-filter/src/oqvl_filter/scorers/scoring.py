"""Score the shards of a pool one by one. Worker processes run this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from oqvl_filter.pool import PoolSample, check_count, pool_samples
from oqvl_filter.score_file import REJECT_FIELD, account_of, arrow_type, count_values, read_table, write_table
from oqvl_filter.scorers.scorer import BaseScorerConfig, Row, Scorer
from oqvl_shards.dataset import Dataset, describe_file
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


@dataclass(frozen=True)
class ScoringJob:
    """One shard to score.

    Args:
        source: The shard.
        source_name: Its path below the pool's directory.
        num_samples: Its samples in the pool's manifest.
        pool_name: The pool's name.
        directory: Directory of the scores.
        file_name: Name of the score file.
        step: Digest of the stage's lineage.
    """

    source: Path
    source_name: str
    num_samples: int
    pool_name: str
    directory: Path
    file_name: str
    step: str

    def __str__(self) -> str:
        return str(self.source)


def scoring_jobs(pool: Dataset, directory: Path, step: str) -> list[ScoringJob]:
    """Return one job per shard of `pool`; the score files in `directory` are `00000.parquet` and so on."""
    return [
        ScoringJob(
            source=pool.whole_shard_path(shard),
            source_name=shard.path,
            num_samples=shard.num_samples,
            pool_name=pool.manifest.name,
            directory=directory,
            file_name=f"{index:05d}.parquet",
            step=step,
        )
        for index, shard in enumerate(pool.manifest.shards)
    ]


def score_shard(job: ScoringJob, config: BaseScorerConfig, limits: ReadLimits) -> Receipt:
    """Score one shard, unless the same stage has done so already, and return the receipt of its score file."""
    finished = read_receipt(job.directory, job.file_name, job.step)
    if finished is not None:
        return finished
    scorer = shared_scorer(config, limits)
    with ShardReader(job.source, limits, name=job.source_name) as reader:
        check_count(reader, job.num_samples)
        samples = pool_samples(reader, job.pool_name)
        table = score_table(samples, scorer.score_shard(reader, samples), scorer.columns)
    return write_score_file(table, job)


_shared: list[tuple[BaseScorerConfig, ReadLimits, Scorer]] = []


def shared_scorer(config: BaseScorerConfig, limits: ReadLimits) -> Scorer:
    """Return the scorer of `config`. A process that scores many shards builds it, and loads its model, once."""
    for known_config, known_limits, scorer in _shared:
        if (known_config, known_limits) == (config, limits):
            return scorer
    scorer = config.build(limits)
    _shared[:] = [(config, limits, scorer)]
    return scorer


def score_table(samples: Sequence[PoolSample], results: Sequence[Row | str], columns: Sequence[FieldSpec]) -> pa.Table:
    """Return the table of a score file, one row per sample.

    Args:
        samples: The samples of a shard.
        results: For each of them the values of `columns`, or the reason why there are none.
        columns: The columns to make; values that a row lacks are null.

    Raises:
        ConfigError: If a scorer returned the wrong number of results, a column that every score file has, or values
            that are not of a column's type.
    """
    if len(results) != len(samples):
        raise ConfigError(f"the scorer gave {len(results)} results, expected one for each of {len(samples)} samples")
    rows: list[Row] = [{} if isinstance(result, str) else result for result in results]
    arrays = {
        "uid": pa.array([sample.uid.value for sample in samples], pa.string()),
        "uid_derived": pa.array([sample.uid.derived for sample in samples], pa.bool_()),
        "key": pa.array([sample.sample.key for sample in samples], pa.string()),
    }
    for column in columns:
        if column.name in arrays or column.name == REJECT_FIELD.name:
            raise ConfigError(
                f"the scorer gives a column {column.name!r}, which it gave before or which every score file has",
                hint="rename the column",
            )
        try:
            arrays[column.name] = pa.array([row.get(column.name) for row in rows], arrow_type(column.dtype))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ConfigError(
                f"the scorer's column {column.name!r} cannot be of type {column.dtype}: {error}"
            ) from error
    reasons = [str(result) if isinstance(result, str) else None for result in results]
    return pa.table({**arrays, REJECT_FIELD.name: pa.array(reasons, pa.string())})


def fill_counts(
    receipts: Sequence[Receipt], jobs: Sequence[ScoringJob], counted: Mapping[str, str]
) -> Sequence[Receipt]:
    """Fill in the columns that count over the whole pool, in the score files of `jobs`; return the new receipts.

    Doing it twice changes nothing, so a run that was killed in between does it again.

    Args:
        receipts: Receipts of the score files.
        jobs: The jobs that made them, in the same order.
        counted: Columns to fill, see `Scorer.counted`.
    """
    paths = [job.directory / job.file_name for job in jobs]
    for name, source in counted.items():
        counts = list(count_values(paths, source))
        tables = [read_table(path) for path in paths]
        receipts = [
            write_score_file(table.set_column(table.column_names.index(name), name, column), job)
            for table, column, job in zip(tables, counts, jobs, strict=True)
        ]
    return receipts


def write_score_file(table: pa.Table, job: ScoringJob) -> Receipt:
    """Write the score file of `job` and its receipt."""
    path = job.directory / job.file_name
    write_table(table, path)
    receipt = Receipt(step=job.step, shard=describe_file(path, job.directory, len(table)), account=account_of(table))
    return write_receipt(job.directory, receipt)
