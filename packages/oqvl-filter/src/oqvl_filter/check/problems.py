"""Find what is wrong with a dataset of the filter: scores, a subset, a network, or shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from oqvl_filter.score_file import REJECT_FIELD, read_table
from oqvl_filter.uid_array import is_ascending, map_uid_file, parse_uids
from oqvl_shards.check import check_shards
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Kind, Shard
from oqvl_shards.shard_map import map_shards


def find_problems(dataset: Dataset, num_workers: int) -> tuple[str, ...]:
    """Return everything that is wrong with a dataset, one line per problem; empty if the dataset is good.

    Files whose bytes differ from their digests are reported alone: nothing can be said about their content.

    Args:
        dataset: Scores, a subset, a network, or shards.
        num_workers: Processes that read files.
    """
    report = check_shards(dataset, num_workers=num_workers)
    problems = [f"{problem.shard}: {problem.fault}: {problem.detail}" for problem in report.problems]
    if problems:
        return tuple(problems)
    match dataset.manifest.kind:
        case Kind.SCORES:
            problems += _score_problems(dataset, num_workers)
        case Kind.SUBSET:
            problems += _subset_problems(dataset)
        case Kind.IMAGE_TEXT:
            problems += _count_problems(dataset)
    return tuple(problems)


def _score_problems(dataset: Dataset, num_workers: int) -> Iterator[str]:
    """Yield what is wrong with the files of scores, and where their rows and the account differ."""
    results = map_shards(
        partial(_check_score_file, dataset=dataset),
        dataset.manifest.shards,
        num_workers=num_workers,
        description="check",
        name=lambda shard: shard.path,
    )
    rejected: Counter[str] = Counter()
    for problems, counts in results:
        yield from problems
        rejected += counts
    account = dataset.manifest.account
    num_scored = dataset.manifest.num_samples - rejected.total()
    if num_scored != account.num_kept:
        yield f"the files hold {num_scored} scored samples, the account {account.num_kept}"
    for reason, count in sorted(rejected.items()):
        if account.rejected.get(reason) != count:
            yield f"the files hold {count} samples rejected as {reason}, the account {account.rejected.get(reason, 0)}"


def _check_score_file(shard: Shard, dataset: Dataset) -> tuple[list[str], Counter[str]]:
    """Return what is wrong with one score file, and how many of its samples were rejected for each reason."""
    path = dataset.shard_path(shard)
    try:
        types = {field.name: str(field.type) for field in pq.read_schema(path)}
    except pa.ArrowInvalid as error:
        return [f"{shard.path}: not a readable score file: {error}"], Counter()
    problems = []
    for field in dataset.manifest.fields:
        # A manifest may name a type by its alias (float32), a file names it in full (float).
        known = {field.dtype, _full_name(field.dtype)}
        if types.get(field.name) is not None and types[field.name] not in known:
            problems.append(f"{shard.path}: {field.name} is of type {types[field.name]}, expected {field.dtype}")
    missing = [name for name in ("uid", REJECT_FIELD.name) if name not in types]
    if missing:
        return [*problems, f"{shard.path}: there is no column {missing}"], Counter()
    try:
        table = read_table(path, ["uid", REJECT_FIELD.name])
        parse_uids(table["uid"])
    except DataError as error:
        return [*problems, f"{shard.path}: {error.message}"], Counter()
    return problems, Counter(table[REJECT_FIELD.name].drop_null().to_pylist())


def _subset_problems(dataset: Dataset) -> Iterator[str]:
    """Yield what is wrong with the files of a subset: layout, order, counts."""
    num_uids = 0
    for shard in dataset.manifest.shards:
        try:
            uids = map_uid_file(dataset.shard_path(shard))
        except DataError as error:
            yield error.message
            continue
        num_uids += len(uids)
        if not is_ascending(np.asarray(uids)):
            yield f"{shard.path}: the uids are not distinct and in ascending order"
        if len(uids) != shard.num_samples:
            yield f"{shard.path}: found {len(uids)} uids, expected {shard.num_samples}"
    if num_uids != dataset.manifest.account.num_kept:
        yield f"the files hold {num_uids} uids, the account {dataset.manifest.account.num_kept}"


def _count_problems(dataset: Dataset) -> Iterator[str]:
    num_samples, num_kept = dataset.manifest.num_samples, dataset.manifest.account.num_kept
    if num_samples != num_kept:
        yield f"the shards hold {num_samples} samples, the account {num_kept}"


def _full_name(alias: str) -> str:
    try:
        return str(pa.type_for_alias(alias))
    except ValueError:
        return alias
