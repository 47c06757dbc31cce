"""Score the shards of a pool one by one; what runs in a worker process is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from oqvl_filter.config import (
    AestheticScorerConfig,
    ClipScorerConfig,
    CustomScorerConfig,
    ImageScorerConfig,
    MetadataScorerConfig,
    MlmScorerConfig,
    PhashScorerConfig,
    RulesScorerConfig,
    ScorerConfig,
    SiglipScorerConfig,
    TextScorerConfig,
)
from oqvl_filter.pool import check_count, pool_samples
from oqvl_filter.score_file import account_of, count_values, read_table, score_table, write_table
from oqvl_filter.scorer import Scorer, bind_scorer
from oqvl_shards.dataset import Dataset, describe_file
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
        directory: Where the scores go.
        file_name: Name of the score file.
        step: Digest of the step's lineage.
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
    """Return one job a shard of `pool`, with score files `00000.parquet` and so on in `directory`."""
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


def score_shard(job: ScoringJob, config: ScorerConfig, limits: ReadLimits) -> Receipt:
    """Score one shard, unless the same step has done so already; return the receipt of its score file."""
    finished = read_receipt(job.directory, job.file_name, job.step)
    if finished is not None:
        return finished
    scorer = shared_scorer(config, limits)
    with ShardReader(job.source, limits, name=job.source_name) as reader:
        check_count(reader, job.num_samples)
        samples = pool_samples(reader, job.pool_name)
        table = score_table(samples, scorer.score_shard(reader, samples), scorer.columns)
    return write_score_file(table, job)


_shared: list[tuple[ScorerConfig, ReadLimits, Scorer]] = []


def shared_scorer(config: ScorerConfig, limits: ReadLimits) -> Scorer:
    """Return the scorer of `config`; a process that scores many shards loads its model once."""
    for known_config, known_limits, scorer in _shared:
        if (known_config, known_limits) == (config, limits):
            return scorer
    scorer = make_scorer(config, limits)
    _shared[:] = [(config, limits, scorer)]
    return scorer


def make_scorer(config: ScorerConfig, limits: ReadLimits) -> Scorer:
    """Return the scorer that `config` asks for.

    Args:
        config: Which scorer, and its settings.
        limits: Caps on what is read from a sample.

    Raises:
        MissingExtraError: When it needs packages that are not installed.
        ConfigError: When its model cannot be loaded, or there is no such scorer.
    """
    match config:
        case RulesScorerConfig():
            from oqvl_filter.scorers.rules import RulesScorer

            return RulesScorer(limits)
        case PhashScorerConfig():
            from oqvl_filter.scorers.phash import PhashScorer

            return PhashScorer(limits)
        case MetadataScorerConfig():
            from oqvl_filter.scorers.metadata_match import MetadataScorer, read_entries

            return MetadataScorer(read_entries(config.entries), limits)
        case ClipScorerConfig():
            from oqvl_filter.scorers.clip import ClipScorer

            return ClipScorer(config, limits)
        case TextScorerConfig():
            from oqvl_filter.scorers.text import TextScorer

            return TextScorer(config, limits)
        case ImageScorerConfig():
            from oqvl_filter.scorers.picture import ImageScorer

            return ImageScorer(config, limits)
        case SiglipScorerConfig():
            from oqvl_filter.scorers.siglip import SiglipScorer

            return SiglipScorer(config, limits)
        case AestheticScorerConfig():
            from oqvl_filter.scorers.aesthetic import AestheticScorer

            return AestheticScorer(config, limits)
        case MlmScorerConfig():
            from oqvl_filter.scorers.mlm import MlmScorer

            return MlmScorer(config, limits)
        case CustomScorerConfig():
            return bind_scorer(config.factory, config.options)


def fill_counts(
    receipts: Sequence[Receipt], jobs: Sequence[ScoringJob], counted: Mapping[str, str]
) -> Sequence[Receipt]:
    """Fill in the columns that count over the whole pool, in the score files of `jobs`; return the new receipts.

    Doing it again changes nothing, so a run that was killed in between just does it again.

    Args:
        receipts: Of the score files.
        jobs: What they were made by, in the same order.
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
    write_receipt(job.directory, receipt)
    return receipt
