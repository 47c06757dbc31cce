"""The stages as lists of steps: score, select, reshard, train a filtering network, show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import Field

from oqvl_filter.audit import audit
from oqvl_filter.benchmark import benchmark_pictures
from oqvl_filter.config import (
    AestheticScorerConfig,
    CalibrateConfig,
    CheckConfig,
    DedupConfig,
    EstimateConfig,
    ImportConfig,
    ImportPicturesConfig,
    ImportPromptsConfig,
    ImportUidsConfig,
    OpenClipConfig,
    ReportConfig,
    ReshardConfig,
    ScoreConfig,
    ScorerConfig,
    SelectConfig,
    ShowConfig,
    TrainDfnConfig,
)
from oqvl_filter.dedup.duplicates import DUPLICATES_FILE, DedupStep, count_duplicates, find_duplicates
from oqvl_filter.dfn.training import (
    FrozenTrunk,
    assemble,
    digest_weights_file,
    fit_heads,
    measure,
    read_clean_pairs,
    write_network,
)
from oqvl_filter.estimation import measure_pace
from oqvl_filter.expression import subset_paths
from oqvl_filter.importers.importing import ImportStep, digest_file, import_file, import_jobs, score_fields
from oqvl_filter.importers.pictures import PicturesStep, folder_pictures, write_pictures
from oqvl_filter.importers.uid_list import UidListStep, read_uid_list
from oqvl_filter.judges.prompt_import import read_checkout
from oqvl_filter.judges.prompt_set import write_prompt_set
from oqvl_filter.pages.calibration import draw_sample, precision, read_labels, recall, weigh, write_sample
from oqvl_filter.pages.gallery import Gallery
from oqvl_filter.pages.page import Inputs, assemble_page, write_page
from oqvl_filter.pages.scored_samples import read_scored_samples
from oqvl_filter.pool import DUPLICATE_UID
from oqvl_filter.report import (
    CalibrateReport,
    CheckReport,
    DedupReport,
    DfnReport,
    EstimateReport,
    PageReport,
    PoolReport,
    PromptsReport,
    Report,
    ReshardReport,
    ScoreReport,
    SelectReport,
    ThresholdRow,
)
from oqvl_filter.resharding import (
    CopyJob,
    PoolShard,
    check_keys,
    copy_samples,
    fill_shards,
    find_samples,
    join_samples,
    shuffled,
)
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, account_of, deciles, write_table
from oqvl_filter.scorer import fingerprint_of
from oqvl_filter.scoring import fill_counts, score_shard, scoring_jobs, shared_scorer
from oqvl_filter.selection.candidates import read_candidates, resolve_column
from oqvl_filter.selection.column_cache import ColumnCache
from oqvl_filter.selection.selection import SelectStep, resolve_rule, select_candidates, statistics_of
from oqvl_filter.selection.set_algebra import combine, start_counts
from oqvl_filter.subset import SUBSET_FILE, open_subset, write_subset, write_subset_blocks
from oqvl_filter.uid_array import sort_uids
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import MANIFEST_NAME, Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError, DataError, require_extra
from oqvl_shards.manifest import (
    Account,
    CheckpointDetails,
    FieldSpec,
    ImageTextDetails,
    Kind,
    Lineage,
    Manifest,
    ScoresDetails,
    Sha256,
    SubsetDetails,
)
from oqvl_shards.receipt import remove_receipts, step_digest
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import finished_output
from oqvl_shards.uid import array_to_uids

PACKAGE = "oqvl-filter"


class ScoreStep(StageConfig):
    """What the lineage of scores records: the configuration, and the identity of the scorer."""

    config: ScoreConfig = Field(description="the configuration")
    fingerprint: Sha256


class ReshardStep(StageConfig):
    """What the lineage of new shards records: the configuration, and the digest of the subset."""

    config: ReshardConfig = Field(description="the configuration")
    subset: Sha256


class TrainDfnStep(StageConfig):
    """What the lineage of a filtering network records: the configuration, and which trunk it stands on."""

    config: TrainDfnConfig = Field(description="the configuration")
    trunk_digest: Sha256


def score(config: ScoreConfig) -> ScoreReport:
    """Score every sample of a pool; samples that cannot be scored are named with the reason.

    Raises:
        ManifestError: When the pool is not a dataset of kind image_text.
        ConfigError: When the output was made otherwise, or a model cannot be loaded.
        MissingExtraError: When the scorer's extra is not installed.
        DataError: When a shard cannot be read, or the pool has none.
    """
    pool = open_dataset(config.pool, Kind.IMAGE_TEXT)
    if not pool.manifest.shards:
        raise DataError(f"{config.pool} has no shards", hint="its account says what became of its samples")
    scorer = shared_scorer(config.scorer, config.limits)
    fingerprint = fingerprint_of(scorer)
    step = ScoreStep(config=config, fingerprint=fingerprint)
    parents = [pool.manifest, *_manifests_of_scorer(config.scorer)]
    lineage = Lineage.derive(f"{PACKAGE} score", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return ScoreReport.of(finished)
    jobs = scoring_jobs(pool, config.output, step_digest(lineage))
    receipts = map_shards(
        partial(score_shard, config=config.scorer, limits=config.limits),
        jobs,
        **config.workers,
        description=f"score {scorer.name}",
    )
    receipts = fill_counts(receipts, jobs, scorer.counted)
    manifest = Manifest(
        name=f"{pool.manifest.name}.{scorer.name}",
        details=ScoresDetails(
            scorer=scorer.name, fingerprint=fingerprint, columns=tuple(column.name for column in scorer.columns)
        ),
        shards=tuple(receipt.shard for receipt in receipts),
        fields=(*IDENTITY_FIELDS, *scorer.columns, REJECT_FIELD),
        account=Account.total(receipt.account for receipt in receipts),
        statistics=deciles([config.output / receipt.shard.path for receipt in receipts], scorer.columns),
        lineage=lineage,
    )
    dataset = write_manifest(config.output, manifest)
    remove_receipts(config.output)
    return ScoreReport.of(dataset)


def _manifests_of_scorer(scorer: ScorerConfig) -> list[Manifest]:
    """Return the manifests of what the scorer reads beside the pool: a filtering network, stored embeddings."""
    if isinstance(scorer, AestheticScorerConfig) and scorer.embeddings is not None:
        return [open_dataset(scorer.embeddings, Kind.SCORES).manifest]
    if not isinstance(scorer, OpenClipConfig) or not scorer.model.startswith("local-dir:"):
        return []
    directory = Path(scorer.model.removeprefix("local-dir:"))
    return [open_dataset(directory, Kind.CHECKPOINT).manifest] if (directory / MANIFEST_NAME).exists() else []


def select(config: SelectConfig) -> SelectReport:
    """Select samples by a rule over scores and subsets, and write their uids.

    Raises:
        ConfigError: When the rule cannot be read or names what is not there, scores are of another pool, or the output
            was made otherwise.
        ManifestError: When an input is of another kind.
        DataError: When a file is damaged.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = _open_scores(config.scores)
    rule = resolve_rule(config.keep, scores)
    subsets = {path: open_subset(Path(path)) for path in subset_paths(rule)}
    step = SelectStep.of(config, rule, scores, subsets)
    parents = [dataset.manifest for dataset in (*pools, *(one for datasets in scores.values() for one in datasets))]
    parents += [subset.manifest for subset in subsets.values() if subset.manifest is not None]
    lineage = Lineage.derive(f"{PACKAGE} select", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return SelectReport.of(finished)
    path = config.output / SUBSET_FILE
    if pools or scores:
        candidates = read_candidates(pools, scores, ColumnCache(config.cache))
        selection = select_candidates(step.config, rule, candidates, subsets)
        write_subset(sort_uids(candidates.uids[selection.kept])[0], path)
        account, counts = selection.account(candidates.num_duplicates), selection.conditions
    else:
        sets = start_counts(config, rule, subsets)
        num_kept = write_subset_blocks(combine(rule, subsets, sets), path)
        account, counts = sets.account(num_kept), sets.conditions()
    manifest = Manifest(
        name="+".join(pool.manifest.name for pool in pools) + ".subset" if pools else "subset",
        details=SubsetDetails(rule=str(rule), num_pool=account.num_in),
        shards=(describe_file(path, config.output, account.num_kept),),
        fields=(FieldSpec(name="uid", dtype="u8,u8", description="uid as (high, low) words"),),
        account=account,
        statistics=statistics_of(counts),
        lineage=lineage,
    )
    return SelectReport.of(write_manifest(config.output, manifest))


def reshard(config: ReshardConfig) -> ReshardReport:
    """Copy the samples of a subset into new shards, byte for byte.

    Raises:
        ManifestError: When an input is of another kind.
        ConfigError: When the output was made otherwise.
        DataError: When a shard cannot be read, no uid of the subset is in the pools, or original keys repeat.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    subset = open_subset(config.subset)
    parents = [*(pool.manifest for pool in pools), *([subset.manifest] if subset.manifest else [])]
    step = ReshardStep(config=config, subset=subset.digest)
    lineage = Lineage.derive(f"{PACKAGE} reshard", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return ReshardReport.of(finished)
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
            f"none of the {num_uids} uids of {config.subset} can be had from {len(pools)} pool(s)",
            hint="check that the subset was selected from these pools",
        )
    if config.keys == "original":
        check_keys(samples)
    order = np.arange(len(samples)) if config.shuffle_seed is None else shuffled(samples, config.shuffle_seed)
    jobs = [
        CopyJob(f"{index:05d}.tar", part, config.keys, config.output, step_digest(lineage))
        for index, part in enumerate(fill_shards(samples, order, config.samples_per_shard, config.bytes_per_shard))
    ]
    receipts = map_shards(copy_samples, jobs, **config.workers, description="reshard")
    manifest = Manifest(
        name=config.name,
        details=ImageTextDetails(),
        shards=tuple(receipt.shard for receipt in receipts),
        fields=pools[0].manifest.fields,
        account=account,
        statistics={"missing_uids": num_uids - account.num_kept},
        lineage=lineage,
    )
    dataset = write_manifest(config.output, manifest)
    remove_receipts(config.output)
    return ReshardReport.of(dataset)


def train_dfn(config: TrainDfnConfig) -> DfnReport:
    """Make a data filtering network of clean pairs; the scorer `clip` loads it as `local-dir:DIRECTORY`.

    Raises:
        ManifestError: When the clean pairs are not a dataset of kind image_text.
        ConfigError: When the trunk's weights do not fit it, or the output was made otherwise.
        MissingExtraError: When the extra `clip` is not installed.
        DataError: When a shard cannot be read, or there are no usable pairs.
    """
    clean = open_dataset(config.clean, Kind.IMAGE_TEXT)
    step = TrainDfnStep(config=config, trunk_digest=digest_weights_file(config.image_trunk_weights))
    lineage = Lineage.derive(f"{PACKAGE} train-dfn", version(PACKAGE), step, [clean.manifest])
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return DfnReport.of(finished)
    with require_extra(PACKAGE, "clip"):
        trunk = FrozenTrunk(config)
    pairs = read_clean_pairs(clean, trunk, config)
    auc, num_held_out = measure(pairs, trunk, config)
    network = assemble(fit_heads(pairs.features_NX, pairs.captions, trunk, config), trunk, config)
    files = write_network(network, config)
    manifest = Manifest(
        name=config.name,
        details=CheckpointDetails(architecture="open_clip.CustomTextCLIP", stage="dfn"),
        shards=tuple(describe_file(path, config.output, 0) for path in files),
        account=pairs.account,
        statistics={"num_held_out": num_held_out} | ({} if auc is None else {"held_out_auc": auc}),
        lineage=lineage,
    )
    return DfnReport.of(write_manifest(config.output, manifest))


def report(config: ReportConfig) -> PageReport:
    """Write a self-contained HTML page about scores of pools, what subsets keep of them, and what `dedup` has found.

    Raises:
        ManifestError: When an input is of another kind.
        ConfigError: When scores are of other pools, or a column or a benchmark is not there.
        DataError: When a file is damaged.
        MissingExtraError: When the extra `report` is not installed.
    """
    inputs = Inputs(
        pools=[open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools],
        scores=_open_scores(config.scores),
        subset=None if config.subset is None else open_subset(config.subset),
        against=None if config.against is None else open_subset(config.against),
        benchmarks={
            label: open_dataset(path, Kind.BENCHMARK, Kind.IMAGE_TEXT) for label, path in config.benchmarks.items()
        },
    )
    page = assemble_page(config, inputs)
    return PageReport(
        path=config.output,
        num_bytes=write_page(page, config.output),
        num_samples=page.num_samples,
        num_selected=page.num_selected,
    )


def _open_scores(scores: Mapping[str, Sequence[Path]]) -> dict[str, list[Dataset]]:
    return {label: [open_dataset(path, Kind.SCORES) for path in paths] for label, paths in sorted(scores.items())}


def import_scores(config: ImportConfig) -> ScoreReport:
    """Bring foreign files of scores to a score dataset that rules can name.

    Raises:
        ConfigError: When there are no files, a column is not in them, or the output was made otherwise.
        ManifestError: When the pool is not a dataset of kind image_text.
        DataError: When a file is damaged or too large.
    """
    pool = None if config.pool is None else open_dataset(config.pool, Kind.IMAGE_TEXT)
    jobs = import_jobs(config)
    step = ImportStep.of(config, jobs)
    parents = [] if pool is None else [pool.manifest]
    lineage = Lineage.derive(f"{PACKAGE} import {config.layout}", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return ScoreReport.of(finished)
    function = partial(import_file, config=config, pool=pool, step=step_digest(lineage))
    receipts = map_shards(function, jobs, **config.workers, description="import", unit="file")
    paths = [config.output / receipt.shard.path for receipt in receipts]
    fields, numbers = score_fields(paths)
    manifest = Manifest(
        name=config.name,
        details=ScoresDetails(
            scorer=config.layout, fingerprint=step.digest(), columns=tuple(field.name for field in fields)
        ),
        shards=tuple(receipt.shard for receipt in receipts),
        fields=(*IDENTITY_FIELDS, *fields, REJECT_FIELD),
        account=Account.total(receipt.account for receipt in receipts),
        statistics=deciles(paths, numbers),
        lineage=lineage,
    )
    dataset = write_manifest(config.output, manifest)
    remove_receipts(config.output)
    return ScoreReport.of(dataset)


def import_uids(config: ImportUidsConfig) -> SelectReport:
    """Bring a foreign list of uids to a subset.

    Raises:
        ConfigError: When there is no such file, or the output was made otherwise.
        DataError: When the file is no list of uids.
    """
    uids, num_in = read_uid_list(config.source)
    step = UidListStep(config=config, file=digest_file(config.source))
    lineage = Lineage.derive(f"{PACKAGE} import uids", version(PACKAGE), step)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return SelectReport.of(finished)
    path = config.output / SUBSET_FILE
    write_subset(uids, path)
    lost = num_in - len(uids)
    manifest = Manifest(
        name=config.name,
        details=SubsetDetails(rule=f"the uids of {config.source.name}", num_pool=num_in),
        shards=(describe_file(path, config.output, len(uids)),),
        fields=(FieldSpec(name="uid", dtype="u8,u8", description="uid as (high, low) words"),),
        account=Account(num_in=num_in, num_kept=len(uids), rejected={DUPLICATE_UID: lost} if lost else {}),
        lineage=lineage,
    )
    return SelectReport.of(write_manifest(config.output, manifest))


def import_pictures(config: ImportPicturesConfig) -> PoolReport:
    """Write the pictures of a benchmark or of a folder as a pool, for scorers to read.

    Raises:
        ManifestError: When the source is a dataset of another kind than benchmark.
        ConfigError: When it holds no image file, or the output was made otherwise.
        DataError: When a file is damaged.
    """
    has_manifest = (config.source / MANIFEST_NAME).exists()
    benchmark = open_dataset(config.source, Kind.BENCHMARK) if has_manifest else None
    step = PicturesStep.of(config, benchmark)
    parents = [] if benchmark is None else [benchmark.manifest]
    lineage = Lineage.derive(f"{PACKAGE} import pictures", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return PoolReport.of(finished)
    pictures = folder_pictures(config.source) if benchmark is None else benchmark_pictures(benchmark)
    shards, account = write_pictures(pictures, config.output, config.limits)
    manifest = Manifest(
        name=config.name, details=ImageTextDetails(), shards=tuple(shards), account=account, lineage=lineage
    )
    return PoolReport.of(write_manifest(config.output, manifest))


def import_prompts(config: ImportPromptsConfig) -> PromptsReport:
    """Read the prompts of an MLM-Filter checkout, without running any of it, and write them as a prompt set.

    Raises:
        ConfigError: When the source holds no prompts.
    """
    prompts = read_checkout(config.source, config.name)
    write_prompt_set(prompts, config.output)
    return PromptsReport(path=config.output, name=prompts.name, prompts=prompts.prompts)


def dedup(config: DedupConfig) -> DedupReport:
    """Find samples that are the same picture, or with `against` pictures of benchmarks, and write what was found.

    Raises:
        ManifestError: When an input is of another kind.
        ConfigError: When a column is not there or cannot be compared so, or the output was made otherwise.
        DataError: When a file is damaged.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = _open_scores(config.scores)
    against = {key: open_dataset(path, Kind.BENCHMARK, Kind.SCORES) for key, path in sorted(config.against.items())}
    step = DedupStep.of(config, pools, scores, against)
    # Not the pools: rows of a pool are what a child of its scores has, and these are joined by uid.
    parents = [dataset.manifest for datasets in scores.values() for dataset in datasets]
    parents += [dataset.manifest for dataset in against.values()]
    lineage = Lineage.derive(f"{PACKAGE} dedup", version(PACKAGE), step, parents)
    finished = finished_output(config.output, lineage)
    if finished is not None:
        return DedupReport.of(finished)
    fields, table = find_duplicates(step.config, read_candidates(pools, scores), against)
    path = config.output / DUPLICATES_FILE
    write_table(table, path)
    manifest = Manifest(
        name="decontamination" if against else "dedup",
        details=ScoresDetails(
            scorer=f"dedup {config.method}",
            fingerprint=step.digest(),
            columns=tuple(field.name for field in fields),
        ),
        shards=(describe_file(path, config.output, len(table)),),
        fields=(*IDENTITY_FIELDS, *fields, REJECT_FIELD),
        account=account_of(table),
        statistics=count_duplicates(table),
        lineage=lineage,
    )
    return DedupReport.of(write_manifest(config.output, manifest))


def estimate(config: EstimateConfig) -> EstimateReport:
    """Predict from some hundred samples what scoring a pool will take; nothing is written.

    Raises:
        ManifestError: When the pool is not a dataset of kind image_text.
        ConfigError: When a model cannot be loaded.
        DataError: When a shard cannot be read, or the pool is empty.
    """
    pool = open_dataset(config.pool, Kind.IMAGE_TEXT)
    if not pool.manifest.num_samples:
        raise DataError(f"{config.pool} has no samples", hint="check pool=")
    scorer = shared_scorer(config.scorer, config.limits)
    pace = measure_pace(
        pool, scorer, config.limits, config.num_samples, config.seed, getattr(config.scorer, "batch_size", 1)
    )
    num_samples, num_shards = pool.manifest.num_samples, len(pool.manifest.shards)
    mean, low, high = (
        (pace.start_seconds + (seconds * num_samples + pace.shard_seconds * num_shards) / config.num_workers) / 3600
        for seconds in (pace.sample_seconds, pace.low, pace.high)
    )
    price = config.price_per_hour * config.num_workers
    return EstimateReport(
        scorer=scorer.name,
        num_samples=num_samples,
        num_measured=pace.account.num_in,
        num_rejected=pace.account.num_in - pace.account.num_kept,
        start_seconds=pace.start_seconds,
        samples_per_second=1 / pace.sample_seconds,
        hours=(mean, low, high),
        cost=(mean * price, low * price, high * price),
        num_bytes=round(pace.row_bytes * num_samples + pace.file_bytes * num_shards),
    )


def calibrate(config: CalibrateConfig) -> CalibrateReport:
    """Draw a sample of every tenth of a score for people to judge, or read precision and recall off their labels.

    Raises:
        ManifestError: When an input is of another kind.
        ConfigError: When the column is not there, the scores are of another pool, or the labels cannot be read.
        DataError: When the labels are not of these scores.
        MissingExtraError: When the extra `report` is not installed.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = _open_scores(config.scores)
    data = read_scored_samples(pools, scores)
    column = resolve_column(config.column, scores, "column")
    values = data.numbers.get(column)
    if values is None:
        raise ConfigError(f"column: {column} is not of numbers", hint=f"these are: {', '.join(sorted(data.numbers))}")
    uids = data.candidates.uids
    if config.labels is None:
        drawn = draw_sample(values, uids, config.per_decile, config.seed)
        pictures = Gallery(pools, data.candidates, config.limits).pictures(row for row, _ in drawn)
        write_sample(config.output, " + ".join(data.candidates.sources), drawn, pictures)
        return CalibrateReport(path=config.output, num_drawn=len(drawn), num_judged=0, thresholds=())
    labels = read_labels(config.labels)
    judged = weigh(values, array_to_uids(uids), labels)
    known_N = values[np.isfinite(values)]
    rows = []
    for threshold in np.unique(np.percentile(known_N, range(0, 100, 10))).tolist():
        precise, recalled = (
            None if share is None else (share.value, share.low, share.high)
            for share in (precision(judged, threshold), recall(judged, threshold))
        )
        kept = float((known_N >= threshold).mean())
        rows.append(ThresholdRow(threshold=threshold, kept=kept, precision=precise, recall=recalled))
    return CalibrateReport(path=config.output, num_drawn=0, num_judged=len(labels), thresholds=tuple(rows))


def check(config: CheckConfig) -> CheckReport:
    """Check what the filter has written: files, content, and that the account closes.

    Raises:
        ManifestError: When there is no manifest.
        DataError: When anything is wrong; every problem is named.
    """
    dataset = open_dataset(config.dataset)
    manifest = dataset.manifest
    problems = audit(dataset, config.num_workers)
    if problems:
        raise DataError(
            "\n  ".join([f"{config.dataset} has {len(problems)} problem(s)", *problems]),
            hint="delete the dataset and make it again",
        )
    return CheckReport(
        path=config.dataset,
        name=manifest.name,
        kind=manifest.kind.value,
        num_files=len(manifest.shards),
        num_samples=manifest.num_samples,
    )


def show(config: ShowConfig) -> Report:
    """Report on a dataset that the filter has written, from its manifest.

    Raises:
        ManifestError: When it is of a kind that the filter does not write.
    """
    dataset = open_dataset(config.dataset, Kind.SCORES, Kind.SUBSET, Kind.IMAGE_TEXT, Kind.CHECKPOINT)
    match dataset.manifest.kind:
        case Kind.SCORES if dataset.manifest.lineage.tool == f"{PACKAGE} dedup":
            return DedupReport.of(dataset)
        case Kind.SCORES:
            return ScoreReport.of(dataset)
        case Kind.SUBSET:
            return SelectReport.of(dataset)
        case Kind.CHECKPOINT:
            return DfnReport.of(dataset)
        case _ if "missing_uids" in dataset.manifest.statistics:
            return ReshardReport.of(dataset)
        case _:
            return PoolReport.of(dataset)
