"""The stage `dedup`."""

from __future__ import annotations

from oqvl_filter.candidates import read_candidates
from oqvl_filter.dedup.config import DedupConfig
from oqvl_filter.dedup.duplicates import DUPLICATES_FILE, count_duplicates, find_duplicates, resolve_columns
from oqvl_filter.dedup.report import DedupReport
from oqvl_filter.paths import open_scores
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, account_of, write_table
from oqvl_shards.dataset import describe_file, open_dataset
from oqvl_shards.manifest import Kind, ScoresDetails
from oqvl_shards.stage_output import stage_output


def dedup(config: DedupConfig) -> DedupReport:
    """Find samples that are the same picture, or with `against` pictures of benchmarks, and write them as scores.

    Raises:
        ManifestError: If an input is of another kind.
        ConfigError: If a column does not exist or the method cannot compare it, or if the output holds something else.
        DataError: If a file is damaged.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = open_scores(config.scores)
    against = {label: open_dataset(path, Kind.BENCHMARK, Kind.SCORES) for label, path in sorted(config.against.items())}
    config = resolve_columns(config, scores)
    # The pools are not parents: a child of a pool has the pool's rows, but these scores are joined by uid.
    parents = [dataset.manifest for datasets in scores.values() for dataset in datasets]
    parents += [dataset.manifest for dataset in against.values()]
    pinned = {
        "pools": [pool.manifest.digest() for pool in pools],
        "scores": {label: [dataset.manifest.digest() for dataset in datasets] for label, datasets in scores.items()},
        "against": {label: dataset.manifest.digest() for label, dataset in against.items()},
    }
    with stage_output("oqvl-filter dedup", config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            fields, table = find_duplicates(config, read_candidates(pools, scores), against)
            path = config.output / DUPLICATES_FILE
            write_table(table, path)
            output.finish(
                name="decontamination" if against else "dedup",
                details=ScoresDetails(
                    scorer=f"dedup {config.method}",
                    fingerprint=output.lineage.config_digest,
                    columns=tuple(field.name for field in fields),
                ),
                shards=[describe_file(path, config.output, len(table))],
                account=account_of(table),
                fields=(*IDENTITY_FIELDS, *fields, REJECT_FIELD),
                statistics=count_duplicates(table),
            )
    return DedupReport.of(output.finished())
