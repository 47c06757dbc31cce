"""The stage `select`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oqvl_filter.candidates import read_candidates, resolve_column
from oqvl_filter.column_cache import ColumnCache
from oqvl_filter.paths import open_scores
from oqvl_filter.selection.config import SelectConfig
from oqvl_filter.selection.expression import ConditionCount, Rule, subset_paths
from oqvl_filter.selection.report import SelectReport
from oqvl_filter.selection.selection import resolve_rule, select_candidates, statistics_of
from oqvl_filter.selection.set_algebra import combine, start_counts
from oqvl_filter.subset import SUBSET_FIELDS, SUBSET_FILE, Subset, open_subset, write_subset, write_subset_blocks
from oqvl_filter.uid_array import sort_uids
from oqvl_shards.dataset import Dataset, describe_file, open_dataset
from oqvl_shards.manifest import Account, Kind, SubsetDetails
from oqvl_shards.stage_output import stage_output


def select(config: SelectConfig) -> SelectReport:
    """Select samples by a rule over scores and subsets, and write their uids.

    Raises:
        ConfigError: If the rule cannot be parsed or names something that does not exist, if scores are of another pool,
            or if the output holds something else.
        ManifestError: If an input is of another kind.
        DataError: If a file is damaged.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = open_scores(config.scores)
    rule = resolve_rule(config.keep, scores)
    subsets = {path: open_subset(Path(path)) for path in subset_paths(rule)}
    config = _resolve(config, rule, scores)
    parents = [
        *(pool.manifest for pool in pools),
        *(dataset.manifest for datasets in scores.values() for dataset in datasets),
        *(subset.manifest for subset in subsets.values() if subset.manifest is not None),
    ]
    pinned = {
        "subsets": [(Path(path).name, subset.digest) for path, subset in subsets.items()],
        "scores": {label: [dataset.manifest.digest() for dataset in datasets] for label, datasets in scores.items()},
    }
    with stage_output("oqvl-filter select", config.output, config, parents=parents, pinned=pinned) as output:
        if output.dataset is None:
            path = config.output / SUBSET_FILE
            if pools or scores:
                account, conditions = _select_by_scores(config, rule, pools, scores, subsets, path)
            else:
                account, conditions = _combine_subsets(config, rule, subsets, path)
            output.finish(
                name="+".join(pool.manifest.name for pool in pools) + ".subset" if pools else "subset",
                details=SubsetDetails(rule=str(rule), num_pool=account.num_in),
                shards=[describe_file(path, config.output, account.num_kept)],
                account=account,
                fields=SUBSET_FIELDS,
                statistics=statistics_of(conditions),
            )
    return SelectReport.of(output.finished())


def _resolve(config: SelectConfig, rule: Rule, scores: Mapping[str, Sequence[Dataset]]) -> SelectConfig:
    """Return `config` with the normalised rule and every column under its full name.

    The lineage records it, so two spellings of one selection are the same stage.
    """
    changes: dict[str, Any] = {"keep": str(rule)}
    if config.prefer:
        changes["prefer"] = resolve_column(config.prefer, scores, "prefer")
    if config.tokens is not None:
        column = resolve_column(config.token_count.column, scores, "token_count.column")
        changes["token_count"] = config.token_count.model_copy(update={"column": column})
    if config.balance.column:
        column = resolve_column(config.balance.column, scores, "balance.column")
        changes["balance"] = config.balance.model_copy(update={"column": column})
    return config.model_copy(update=changes)


def _select_by_scores(
    config: SelectConfig,
    rule: Rule,
    pools: Sequence[Dataset],
    scores: Mapping[str, Sequence[Dataset]],
    subsets: Mapping[str, Subset],
    path: Path,
) -> tuple[Account, Sequence[ConditionCount]]:
    """Apply the rule to every sample of the pools; write the uids that it keeps to `path`."""
    candidates = read_candidates(pools, scores, ColumnCache(config.cache))
    selection = select_candidates(config, rule, candidates, subsets)
    write_subset(sort_uids(candidates.uids[selection.kept])[0], path)
    return selection.account(candidates.num_duplicates), selection.conditions


def _combine_subsets(
    config: SelectConfig, rule: Rule, subsets: Mapping[str, Subset], path: Path
) -> tuple[Account, Sequence[ConditionCount]]:
    """Apply a rule that names nothing but subsets, in one pass over their files; write the result to `path`."""
    counts = start_counts(config, rule, subsets)
    num_kept = write_subset_blocks(combine(rule, subsets, counts), path)
    return counts.account(num_kept), counts.conditions()
