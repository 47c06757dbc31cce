"""Apply a selection to the scores of a pool: a union of groups, each a sequence of conditions.

Everything is an array over the N distinct uids of the pool, in ascending order of uid; no loop runs over samples.

A group starts with all N samples, and each of its conditions applies to what the ones before it have left:

- `at_least`, `at_most`, `equals`, `subset` look at each sample alone;
- `top_fraction` f keeps exactly floor(f x n) of the n samples that are left and have a value, `top_count` k exactly
  min(k, n): the highest values, equal ones in the order of the uids' hash;
- `first_of` keeps of all samples with the same value the one whose uid has the smallest hash.

A sample without a value in a condition's column fails the condition. The reason of a sample that no group keeps is the
condition that stopped it in the group where it came furthest (the first such group).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from oqvl_filter.config import Condition, SelectConfig
from oqvl_filter.pool import DUPLICATE_UID
from oqvl_filter.score_file import REJECT_FIELD, read_scores
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, hash_uids
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Account, Dataset, Sha256

Mask = NDArray[np.bool_]


class SelectStep(StageConfig):
    """What the lineage of a subset records: the rule in full, and what the labels and subsets in it stand for."""

    keep: list[list[dict[str, Any]]] = Field(description="the groups; a subset stands as the digest of its content")
    then: list[dict[str, Any]] = Field(description="the conditions on their union")
    seed: int = Field(description="seed of the hash that breaks ties")
    scores: dict[str, Sha256] = Field(description="digest of the manifest of each label's scores")

    @classmethod
    def of(cls, config: SelectConfig, scores: Mapping[str, Dataset], subsets: Mapping[Path, Subset]) -> Self:
        """Resolve what `config` names by path."""

        def resolve(condition: Condition) -> dict[str, Any]:
            values = condition.model_dump(mode="json", exclude_defaults=True, exclude={"subset"})
            return values if condition.subset is None else {"subset": subsets[condition.subset].digest}

        return cls(
            keep=[[resolve(condition) for condition in group] for group in config.keep],
            then=[resolve(condition) for condition in config.then],
            seed=config.seed,
            scores={label: dataset.manifest.digest() for label, dataset in scores.items()},
        )


def describe_rule(config: SelectConfig) -> str:
    """Return the rule in words: `(rules.width >= 200 and ...) or (...), then ...`."""
    groups = [" and ".join(map(str, group)) or "everything" for group in config.keep]
    union = " or ".join(f"({group})" for group in groups) if len(groups) > 1 else groups[0]
    return ", then ".join([union, *map(str, config.then)])


def subset_paths(config: SelectConfig) -> list[Path]:
    """Return the paths of the subsets that conditions name, each once, in order."""
    conditions = [*(condition for group in config.keep for condition in group), *config.then]
    return list(dict.fromkeys(condition.subset for condition in conditions if condition.subset is not None))


def check_same_pool(scores: Mapping[str, Dataset], pool: Dataset) -> None:
    """Raise `ConfigError` unless all of `scores` are scores of `pool`."""
    digest = pool.manifest.digest()
    for label, dataset in scores.items():
        if digest not in dataset.manifest.lineage.parents:
            raise ConfigError(
                f"scores.{label} ({dataset.path}) are of another pool than {pool.path}",
                hint="score this pool, or give the pool that they were made of",
            )


def read_candidates(scores: Mapping[str, Dataset], subsets: Mapping[Path, Subset], seed: int) -> Candidates:
    """Read the scores of a pool by label and join them by uid.

    Raises:
        DataError: When a score file is damaged, or two labels do not have the same uids.
    """
    uids_N: NDArray[np.void] | None = None
    tables = {}
    num_rows = 0
    for label, dataset in scores.items():
        found_N, tables[label] = read_scores(dataset)
        if uids_N is not None and not np.array_equal(found_N, uids_N):
            raise DataError(
                f"scores.{label} ({dataset.path}) have {len(found_N)} uids, the labels before it {len(uids_N)} others",
                hint="the pool has changed between the scorings: score it again",
            )
        uids_N, num_rows = found_N, dataset.manifest.num_samples
    assert uids_N is not None, "SelectConfig asks for one score dataset at least"
    return Candidates(uids_N, num_rows - len(uids_N), tables, subsets, seed)


@dataclass(frozen=True)
class Candidates:
    """What is selected from.

    Args:
        uids: [N] distinct uids, ascending.
        num_duplicates: Samples beside these N, with a uid that an earlier one has.
        scores: By label: a table of N rows with the score columns and `reject`.
        subsets: By path as it is written in the conditions.
        seed: Of the hash that orders equal values.
    """

    uids: NDArray[np.void]
    num_duplicates: int
    scores: Mapping[str, pa.Table]
    subsets: Mapping[Path, Subset]
    seed: int

    def column(self, name: str) -> tuple[str, pa.ChunkedArray]:
        """Return the label and the values of the column `LABEL.COLUMN`.

        Raises:
            ConfigError: When there is no such column.
        """
        label, _, column = name.partition(".")
        table = self.scores.get(label)
        if table is None or column not in table.column_names:
            known = [f"{key}.{one}" for key, table in self.scores.items() for one in table.column_names]
            raise ConfigError(
                f"a condition names the column {name!r}, which no score dataset has", hint=f"there are {known}"
            )
        return label, table[column]

    def order(self) -> NDArray[np.int64]:
        """Return the rank [N] of every uid by its hash; equal hashes rank by uid."""
        hashes_N = hash_uids(self.uids, self.seed)
        ranks_N = np.empty(len(hashes_N), dtype=np.int64)
        ranks_N[np.argsort(hashes_N, kind="stable")] = np.arange(len(hashes_N))
        return ranks_N


@dataclass(frozen=True)
class Selection:
    """The outcome.

    Args:
        kept: Mask [N].
        group_sizes: Samples that each group keeps, before the union.
        account: Why the others are not kept.
    """

    kept: Mask
    group_sizes: tuple[int, ...]
    account: Account


def apply_selection(
    candidates: Candidates, groups: Sequence[Sequence[Condition]], then: Sequence[Condition]
) -> Selection:
    """Return what the union of `groups` keeps after `then`.

    Raises:
        ConfigError: When a condition names a column that is not there, or does not fit its type.
    """
    ranks_N = candidates.order()
    num_samples = len(candidates.uids)
    reasons = Reasons(num_samples)
    union = np.zeros(num_samples, dtype=bool)
    sizes = []
    for group in groups:
        mask = np.ones(num_samples, dtype=bool)
        for depth, condition in enumerate(group):
            passed = apply_condition(condition, mask, candidates, ranks_N)
            reasons.record(mask & ~passed, depth, condition, candidates)
            mask = passed
        union |= mask
        sizes.append(int(mask.sum()))
    kept = union
    for condition in then:
        passed = apply_condition(condition, kept, candidates, ranks_N)
        reasons.replace(kept & ~passed, condition, candidates)
        kept = passed
    rejected = reasons.count(~kept)
    if candidates.num_duplicates:
        rejected = dict(sorted({**rejected, DUPLICATE_UID: candidates.num_duplicates}.items()))
    account = Account(num_in=num_samples + candidates.num_duplicates, num_kept=int(kept.sum()), rejected=rejected)
    return Selection(kept, tuple(sizes), account)


def apply_condition(condition: Condition, mask: Mask, candidates: Candidates, ranks_N: NDArray[np.int64]) -> Mask:
    """Return the mask [N] of the samples of `mask` that pass `condition`."""
    if condition.subset is not None:
        return mask & contains(candidates.subsets[condition.subset].uids, candidates.uids)
    if condition.first_of:
        _, values = candidates.column(condition.first_of)
        return _first_of(values, mask, ranks_N)
    _, values = candidates.column(condition.column)
    if condition.equals is not None:
        return mask & _equals(values, condition)
    numbers_N = _numbers(values, condition)
    mask = mask & ~np.isnan(numbers_N)
    if condition.top_fraction is not None:
        # As the decimal fraction that was written: in binary, 0.29 of 100 would be 28.999.
        return _top(numbers_N, mask, int(Fraction(repr(condition.top_fraction)) * int(mask.sum())), ranks_N)
    if condition.top_count is not None:
        return _top(numbers_N, mask, condition.top_count, ranks_N)
    if condition.at_least is not None:
        mask = mask & (numbers_N >= condition.at_least)
    if condition.at_most is not None:
        mask = mask & (numbers_N <= condition.at_most)
    return mask


class Reasons:
    """Remembers for every sample what stopped it.

    Args:
        num_samples: N.
    """

    def __init__(self, num_samples: int) -> None:
        self._names: list[str] = []
        self._codes_N = np.full(num_samples, -1, dtype=np.int32)
        self._depths_N = np.full(num_samples, -1, dtype=np.int32)

    def record(self, failed: Mask, depth: int, condition: Condition, candidates: Candidates) -> None:
        """Note that condition number `depth` of a group stopped `failed`, unless they came further in another one."""
        further = failed & (depth > self._depths_N)
        self._depths_N[further] = depth
        self.replace(further, condition, candidates)

    def replace(self, failed: Mask, condition: Condition, candidates: Candidates) -> None:
        """Note that `condition` stopped `failed`."""
        self._codes_N[failed] = self._code(str(condition))
        column = condition.column or condition.first_of
        if not column:
            return
        label, _ = candidates.column(column)
        rejects = candidates.scores[label][REJECT_FIELD.name].combine_chunks().dictionary_encode()
        indices_N = rejects.indices.fill_null(-1).to_numpy()
        for index, reason in enumerate(rejects.dictionary.to_pylist()):
            unscored = failed & (indices_N == index)
            if unscored.any():
                self._codes_N[unscored] = self._code(f"{label} rejected it: {reason}")

    def count(self, rejected: Mask) -> dict[str, int]:
        """Return how many of `rejected` were stopped by what, sorted by name."""
        counts = np.bincount(self._codes_N[rejected], minlength=len(self._names))
        return {name: int(count) for name, count in sorted(zip(self._names, counts, strict=True)) if count}

    def _code(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)


def _numbers(values: pa.ChunkedArray, condition: Condition) -> NDArray[np.floating]:
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise ConfigError(f"{condition}: the column is of type {values.type}, expected numbers", hint="use equals")
    # Float columns keep their own precision, so that a bound of 0.7 keeps a stored float32 0.7.
    numbers_N = values.to_numpy()
    return numbers_N if pa.types.is_floating(values.type) else numbers_N.astype(np.float64)


def _equals(values: pa.ChunkedArray, condition: Condition) -> Mask:
    try:
        wanted = pa.scalar(condition.equals).cast(values.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(f"{condition}: the column is of type {values.type}, and {error}") from error
    return pc.call_function("equal", [values, wanted]).fill_null(False).to_numpy()


def _top(numbers_N: NDArray[np.floating], mask: Mask, count: int, ranks_N: NDArray[np.int64]) -> Mask:
    """Return the mask [N] of the `count` highest numbers in `mask`, equal ones by ascending rank."""
    rows = np.flatnonzero(mask)
    best_first = rows[np.lexsort((ranks_N[rows], -numbers_N[rows]))]
    kept = np.zeros_like(mask)
    kept[best_first[:count]] = True
    return kept


def _first_of(values: pa.ChunkedArray, mask: Mask, ranks_N: NDArray[np.int64]) -> Mask:
    """Return the mask [N] of the sample with the lowest rank of every value in `mask`."""
    codes_N = values.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    rows = np.flatnonzero(mask & (codes_N >= 0))
    by_rank = rows[np.argsort(ranks_N[rows])]
    _, first = np.unique(codes_N[by_rank], return_index=True)
    kept = np.zeros_like(mask)
    kept[by_rank[first]] = True
    return kept
