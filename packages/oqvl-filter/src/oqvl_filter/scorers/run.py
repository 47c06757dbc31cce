"""The stages `score` and `estimate`."""

from __future__ import annotations

from functools import partial

from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, deciles
from oqvl_filter.scorers.config import EstimateConfig, ScoreConfig
from oqvl_filter.scorers.estimation import forecast, measure_pace
from oqvl_filter.scorers.report import EstimateReport, ScoreReport
from oqvl_filter.scorers.scorer import fingerprint_of
from oqvl_filter.scorers.scoring import fill_counts, score_shard, scoring_jobs, shared_scorer
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Kind, ScoresDetails
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import stage_output


def score(config: ScoreConfig) -> ScoreReport:
    """Score every sample of a pool; a sample that cannot be scored is listed with the reason.

    Raises:
        ManifestError: If the pool is not a dataset of kind image_text.
        ConfigError: If a model cannot be loaded, or if the output holds something else.
        MissingExtraError: If the scorer's extra is not installed.
        DataError: If a shard cannot be read, or the pool has none.
    """
    pool = open_dataset(config.pool, Kind.IMAGE_TEXT)
    if not pool.manifest.shards:
        raise DataError(f"{config.pool} has no shards", hint="its account says what became of its samples")
    scorer = shared_scorer(config.scorer, config.limits)
    fingerprint = fingerprint_of(scorer)
    parents = [pool.manifest, *config.scorer.parents()]
    pinned = {"fingerprint": fingerprint}
    with stage_output("oqvl-filter score", config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            jobs = scoring_jobs(pool, config.output, output.step)
            receipts = map_shards(
                partial(score_shard, config=config.scorer, limits=config.limits),
                jobs,
                **config.workers,
                description=f"score {scorer.name}",
            )
            receipts = fill_counts(receipts, jobs, scorer.counted)
            output.finish(
                name=f"{pool.manifest.name}.{scorer.name}",
                details=ScoresDetails(
                    scorer=scorer.name,
                    fingerprint=fingerprint,
                    columns=tuple(column.name for column in scorer.columns),
                ),
                shards=receipts,
                fields=(*IDENTITY_FIELDS, *scorer.columns, REJECT_FIELD),
                statistics=deciles([config.output / receipt.shard.path for receipt in receipts], scorer.columns),
            )
    return ScoreReport.of(output.finished())


def estimate(config: EstimateConfig) -> EstimateReport:
    """Predict what scoring a pool will take, from a few hundred of its samples. Nothing is written.

    Raises:
        ManifestError: If the pool is not a dataset of kind image_text.
        ConfigError: If a model cannot be loaded.
        DataError: If a shard cannot be read, or the pool is empty.
    """
    pool = open_dataset(config.pool, Kind.IMAGE_TEXT)
    if not pool.manifest.num_samples:
        raise DataError(f"{config.pool} has no samples", hint="check pool=")
    scorer = shared_scorer(config.scorer, config.limits)
    pace = measure_pace(
        pool,
        scorer,
        config.limits,
        num_samples=config.num_samples,
        seed=config.seed,
        batch_size=getattr(config.scorer, "batch_size", 1),  # scorers without a model take samples one by one
    )
    expected = forecast(
        pace,
        num_samples=pool.manifest.num_samples,
        num_shards=len(pool.manifest.shards),
        num_workers=config.num_workers,
        price_per_hour=config.price_per_hour,
    )
    return EstimateReport(
        scorer=scorer.name,
        num_samples=pool.manifest.num_samples,
        num_measured=pace.account.num_in,
        num_rejected=pace.account.num_in - pace.account.num_kept,
        start_seconds=pace.start_seconds,
        samples_per_second=1 / pace.sample_seconds,
        hours=expected.hours,
        cost=expected.cost,
        num_bytes=expected.num_bytes,
    )
