"""The stages of `import`."""

from __future__ import annotations

from functools import partial

from oqvl_filter.benchmark import benchmark_pictures
from oqvl_filter.importers.config import ImportConfig, ImportPicturesConfig, ImportPromptsConfig, ImportUidsConfig
from oqvl_filter.importers.importing import describe_files, import_file, import_jobs, score_fields
from oqvl_filter.importers.pictures import digest_folder, folder_pictures, write_pictures
from oqvl_filter.importers.prompts import read_checkout
from oqvl_filter.importers.report import PromptsReport
from oqvl_filter.importers.uid_list import read_uid_list
from oqvl_filter.pool import DUPLICATE_UID
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, deciles
from oqvl_filter.scorers.judges.prompt_set import write_prompt_set
from oqvl_filter.scorers.report import ScoreReport
from oqvl_filter.selection.report import SelectReport
from oqvl_filter.stage_report import PoolReport
from oqvl_filter.subset import SUBSET_FIELDS, SUBSET_FILE, write_subset
from oqvl_shards.dataset import MANIFEST_NAME, describe_file, open_dataset
from oqvl_shards.manifest import Account, ImageTextDetails, Kind, ScoresDetails, SubsetDetails
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import stage_output


def import_scores(config: ImportConfig) -> ScoreReport:
    """Import foreign files of scores as a score dataset that rules can name.

    Raises:
        ConfigError: If there are no files, if they lack a column, or if the output holds something else.
        ManifestError: If the pool is not a dataset of kind image_text.
        DataError: If a file is damaged or too large.
    """
    pool = None if config.pool is None else open_dataset(config.pool, Kind.IMAGE_TEXT)
    jobs = import_jobs(config)
    parents = [] if pool is None else [pool.manifest]
    pinned = {"files": describe_files(config, jobs)}
    tool = f"oqvl-filter import {config.layout}"
    with stage_output(tool, config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            function = partial(import_file, config=config, pool=pool, step=output.step)
            receipts = map_shards(function, jobs, **config.workers, description="import", unit="file")
            paths = [config.output / receipt.shard.path for receipt in receipts]
            fields, numeric_fields = score_fields(paths)
            output.finish(
                name=config.name,
                details=ScoresDetails(
                    scorer=config.layout,
                    fingerprint=output.lineage.config_digest,
                    columns=tuple(field.name for field in fields),
                ),
                shards=receipts,
                fields=(*IDENTITY_FIELDS, *fields, REJECT_FIELD),
                statistics=deciles(paths, numeric_fields),
            )
    return ScoreReport.of(output.finished())


def import_uids(config: ImportUidsConfig) -> SelectReport:
    """Import a foreign list of uids as a subset.

    Raises:
        ConfigError: If there is no such file, or if the output holds something else.
        DataError: If the file is not a list of uids.
    """
    uids, num_in = read_uid_list(config.source)
    pinned = {"file": describe_file(config.source, config.source.parent, 0).sha256}
    with stage_output("oqvl-filter import uids", config.output, config, pinned=pinned) as output:
        if output.dataset is None:
            path = config.output / SUBSET_FILE
            write_subset(uids, path)
            num_repeated = num_in - len(uids)
            output.finish(
                name=config.name,
                details=SubsetDetails(rule=f"the uids of {config.source.name}", num_pool=num_in),
                shards=[describe_file(path, config.output, len(uids))],
                account=Account(
                    num_in=num_in,
                    num_kept=len(uids),
                    rejected={DUPLICATE_UID: num_repeated} if num_repeated else {},
                ),
                fields=SUBSET_FIELDS,
            )
    return SelectReport.of(output.finished())


def import_pictures(config: ImportPicturesConfig) -> PoolReport:
    """Write the pictures of a benchmark or of a folder as a pool, for scorers to read.

    Raises:
        ManifestError: If the source is a dataset of another kind than benchmark.
        ConfigError: If the source holds no image file, or if the output holds something else.
        DataError: If a file is damaged.
    """
    has_manifest = (config.source / MANIFEST_NAME).exists()
    benchmark = open_dataset(config.source, Kind.BENCHMARK) if has_manifest else None
    parents = [] if benchmark is None else [benchmark.manifest]
    pinned = {"files": digest_folder(config.source) if benchmark is None else None}
    with stage_output("oqvl-filter import pictures", config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            pictures = folder_pictures(config.source) if benchmark is None else benchmark_pictures(benchmark)
            shards, account = write_pictures(pictures, config.output, config.limits)
            output.finish(name=config.name, details=ImageTextDetails(), shards=shards, account=account)
    return PoolReport.of(output.finished())


def import_prompts(config: ImportPromptsConfig) -> PromptsReport:
    """Read the prompts of an MLM-Filter checkout, without running any of it, and write them as a prompt set.

    Raises:
        ConfigError: If the source holds no prompts.
    """
    prompts = read_checkout(config.source, config.name)
    write_prompt_set(prompts, config.output)
    return PromptsReport(path=config.output, name=prompts.name, prompts=prompts.prompts)
