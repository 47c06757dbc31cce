"""Rules over subsets alone: union, intersection and difference in one pass over sorted files.

All files are read in step, one range of uids at a time, so memory does not grow with the files. The uids that the files
have in the range are merged, and the rule is applied to the distinct ones. M is the number of uids of a range in all
files together, D the number of distinct ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.selection.config import SelectConfig
from oqvl_filter.selection.expression import And, ConditionCount, Everything, Member, Not, Or, Rule, Then
from oqvl_filter.selection.expression import conditions as conditions_of
from oqvl_filter.subset import Subset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account
from oqvl_shards.uid import UID_DTYPE

Item = TypeVar("Item")
Result = TypeVar("Result")

_NUM_THREADS = 2
"""Ranges that are merged at a time: numpy releases the lock while it sorts and copies."""

BLOCK = 1 << 16
"""Uids of the longest file in one range: 1 MiB, which fits into the processor's cache."""

_MAX_SUBSETS = 64
"""Maximum number of subsets in one rule: each is one bit of a word."""


@dataclass
class SetCounts:
    """Counts that a pass over the files fills in.

    Args:
        rule: The rule that is applied.
        members: Number of uids of each subset, by path.
        num_in: Number of distinct uids in all subsets.
    """

    rule: Rule
    members: dict[str, int]
    num_in: int = 0

    def account(self, num_kept: int) -> Account:
        """Return the account of all distinct uids."""
        lost = self.num_in - num_kept
        return Account(num_in=self.num_in, num_kept=num_kept, rejected={str(self.rule): lost} if lost else {})

    def conditions(self) -> tuple[ConditionCount, ...]:
        """Return the count of each condition of the rule."""
        members = (condition for condition in conditions_of(self.rule) if isinstance(condition, Member))
        return tuple(ConditionCount(str(member), self.members[member.path], num_null=0) for member in members)


def start_counts(config: SelectConfig, rule: Rule, subsets: Mapping[str, Subset]) -> SetCounts:
    """Return empty counts, after checking that subsets alone can decide the rule.

    Raises:
        ConfigError: If the rule names no subset or too many, or the configuration asks for more than a rule.
    """
    if not 0 < len(subsets) <= _MAX_SUBSETS:
        raise ConfigError(
            f"found {len(subsets)} subsets in the rule and no scores, expected 1 to {_MAX_SUBSETS} subsets",
            hint="give scores.LABEL=PATH, or a rule such as uid in 'a.npy' and not uid in 'b.npy'",
        )
    unscored = SelectConfig(keep=config.keep, output=config.output)
    asked = [name for name in SelectConfig.model_fields if getattr(config, name) != getattr(unscored, name)]
    if set(asked) - {"seed", "cache"}:
        raise ConfigError(f"found {asked}, which need scores, and no scores", hint="give scores.LABEL=PATH")
    return SetCounts(rule, dict.fromkeys(subsets, 0))


def combine(rule: Rule, subsets: Mapping[str, Subset], counts: SetCounts) -> Iterator[NDArray[np.void]]:
    """Yield, in ascending order, the uids of all `subsets` for which `rule` holds; fill in `counts`.

    Args:
        rule: A rule that names nothing but subsets.
        subsets: Subsets by path, as the rule names them.
        counts: Receives the counts.
    """
    files = [subset.uids for subset in subsets.values()]

    def combine_range(bounds: Sequence[tuple[int, int]]) -> tuple[NDArray[np.void], int]:
        parts = [uids[start:stop] for uids, (start, stop) in zip(files, bounds, strict=True)]
        merged = _merge(parts)
        masks = {path: merged.bits & merged.bits.dtype.type(1 << index) != 0 for index, path in enumerate(subsets)}
        return merged.take(_holds(rule, masks, len(merged.rows))), len(merged.rows)

    for path, uids in zip(subsets, files, strict=True):
        counts.members[path] = len(uids)
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        for kept, num_distinct in _map_ahead(threads, combine_range, _ranges(files)):
            counts.num_in += num_distinct
            yield kept


def _map_ahead(
    threads: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield the results of `function` for `items` in their order, computing a few ahead."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(threads.submit(function, item))
        if len(pending) > 2 * _NUM_THREADS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(frozen=True)
class _Merged:
    """The distinct uids of one range of all files.

    Args:
        high: [M] high words of the uids of all files, one file after another.
        low: [M] their low words.
        rows: [D] index of the first occurrence of each distinct uid, in ascending order of uid.
        bits: [D] the files that hold it, one bit per file.
    """

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    rows: NDArray[np.int64]
    bits: NDArray[np.unsignedinteger]

    def take(self, holds_D: NDArray[np.bool_]) -> NDArray[np.void]:
        """Return the distinct uids of the mask `holds_D`."""
        rows = self.rows.compress(holds_D)
        uids = np.empty(len(rows), dtype=UID_DTYPE)
        uids["f0"], uids["f1"] = self.high.take(rows), self.low.take(rows)
        return uids


def _merge(parts: Sequence[NDArray[np.void]]) -> _Merged:
    """Return the distinct uids of `parts`, each of which is ascending."""
    high_M, low_M = (np.concatenate([part[word] for part in parts]) for word in ("f0", "f1"))
    # A stable sort of a few ascending runs merges them. The high words decide, unless uids count up.
    order_M = np.argsort(high_M, kind="stable")
    is_first_M = _differs(high_M.take(order_M))
    repeated = np.flatnonzero(~is_first_M)
    if not np.array_equal(low_M.take(order_M.take(repeated)), low_M.take(order_M.take(repeated - 1))):
        order_M = np.lexsort((low_M, high_M))
        is_first_M = _differs(high_M.take(order_M)) | _differs(low_M.take(order_M))
        repeated = np.flatnonzero(~is_first_M)
    type_ = np.min_scalar_type((1 << len(parts)) - 1)
    owners_M = np.repeat(np.array([1 << index for index in range(len(parts))], type_), [len(part) for part in parts])
    bits_M = owners_M.take(order_M)
    for _ in parts[1:]:  # each round moves bits one place towards the first of their run
        bits_M[repeated - 1] |= bits_M.take(repeated)
    return _Merged(high_M, low_M, order_M.compress(is_first_M), bits_M.compress(is_first_M))


def _differs(sorted_M: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return a mask [M] of the words that differ from the previous one."""
    differs_M = np.ones(len(sorted_M), dtype=bool)
    np.not_equal(sorted_M[1:], sorted_M[:-1], out=differs_M[1:])
    return differs_M


def _holds(rule: Rule, masks: Mapping[str, NDArray[np.bool_]], count: int) -> NDArray[np.bool_]:
    """Return a mask [D] of the uids for which `rule` holds, given the masks of the subsets by path."""
    match rule:
        case Everything():
            return np.ones(count, dtype=bool)
        case Not(negated):
            return ~_holds(negated, masks, count)
        case Or(items):
            return np.logical_or.reduce([_holds(item, masks, count) for item in items])
        case And(items) | Then(items):
            return np.logical_and.reduce([_holds(item, masks, count) for item in items])
        case _:
            assert isinstance(rule, Member), "without scores a rule has no columns"
            return masks[rule.path]


def _ranges(files: Sequence[NDArray[np.void]]) -> Iterator[list[tuple[int, int]]]:
    """Yield per range of uids its start and stop in every file."""
    longest = max(files, key=len)
    splits = [longest[row].item() for row in range(BLOCK, len(longest), BLOCK)]
    edges = [[0] * len(files)]
    edges += [[bisect_left(uids, split, key=lambda uid: uid.item()) for uids in files] for split in splits]
    edges.append([len(uids) for uids in files])
    for starts, stops in pairwise(edges):
        yield list(zip(starts, stops, strict=True))
