"""Rules over nothing but subsets: union, intersection and difference in one pass over sorted files.

The uids of all files are walked in step, a range of uids at a time, so memory does not grow with the files: what a
range of each file holds is merged, and the rule is applied to the distinct uids of the range.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.config import SelectConfig
from oqvl_filter.expression import And, ConditionCount, Everything, Member, Not, Or, Rule, Then
from oqvl_filter.expression import conditions as conditions_of
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import starts_of_runs, uid_order
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account
from oqvl_shards.uid import UID_DTYPE

BLOCK = 1 << 16
"""Uids of the longest file in one range: 1 MiB, which stays in the processor's cache."""

MAX_SUBSETS = 64
"""Subsets in one rule: a bit each of a word."""


@dataclass
class SetCounts:
    """What was met so far.

    Args:
        rule: The rule that is applied.
        members: By path: uids in that subset.
        num_in: Distinct uids in all subsets.
    """

    rule: Rule
    members: dict[str, int]
    num_in: int = 0

    def account(self, num_kept: int) -> Account:
        """Return the account of all distinct uids."""
        lost = self.num_in - num_kept
        return Account(num_in=self.num_in, num_kept=num_kept, rejected={str(self.rule): lost} if lost else {})

    def conditions(self) -> tuple[ConditionCount, ...]:
        """Return what each condition of the rule met."""
        found = (one for one in conditions_of(self.rule) if isinstance(one, Member))
        return tuple(ConditionCount(str(one), self.members[one.path], 0) for one in found)


def start_counts(config: SelectConfig, rule: Rule, subsets: Mapping[str, Subset]) -> SetCounts:
    """Return counts of nothing yet, once it is clear that subsets alone can decide.

    Raises:
        ConfigError: When the rule names no subset or too many, or more than a rule is asked for.
    """
    if not 0 < len(subsets) <= MAX_SUBSETS:
        raise ConfigError(
            f"found {len(subsets)} subsets in the rule and no scores, expected 1 to {MAX_SUBSETS} subsets",
            hint="give scores.LABEL=PATH, or a rule such as uid in 'a.npy' and not uid in 'b.npy'",
        )
    unscored = SelectConfig(keep=config.keep, output=config.output)
    asked = [name for name in SelectConfig.model_fields if getattr(config, name) != getattr(unscored, name)]
    if set(asked) - {"seed", "cache"}:
        raise ConfigError(f"found {asked} and no scores to do it with", hint="give scores.LABEL=PATH")
    return SetCounts(rule, dict.fromkeys(subsets, 0))


def combine(rule: Rule, subsets: Mapping[str, Subset], counts: SetCounts) -> Iterator[NDArray[np.void]]:
    """Yield, in ascending order, the uids for which `rule` holds among those of all `subsets`; fill in `counts`.

    Args:
        rule: Of nothing but subsets.
        subsets: By path, as the rule names them.
        counts: Gets the numbers.
    """
    files = [subset.uids for subset in subsets.values()]
    for bounds in _ranges(files):
        parts = [uids[start:stop] for uids, (start, stop) in zip(files, bounds, strict=True)]
        distinct, bits = _merge(parts)
        masks = {path: bits & bits.dtype.type(1 << index) != 0 for index, path in enumerate(subsets)}
        counts.num_in += len(distinct)
        for path, part in zip(subsets, parts, strict=True):
            counts.members[path] += len(part)
        yield distinct.take(np.flatnonzero(_holds(rule, masks, len(distinct))))


def _merge(parts: Sequence[NDArray[np.void]]) -> tuple[NDArray[np.void], NDArray[np.unsignedinteger]]:
    """Return the distinct uids of all parts, ascending, and which parts hold each, as bits."""
    # As rows of two words, which numpy moves faster than records.
    words_N2 = np.concatenate([part.view(np.uint64).reshape(-1, 2) for part in parts])
    order = uid_order(_as_uids(words_N2), in_runs=True)
    merged_N2 = words_N2.take(order, axis=0)
    is_first = starts_of_runs(_as_uids(merged_N2))
    type_ = np.min_scalar_type((1 << len(parts)) - 1)
    owners = np.repeat(np.array([1 << index for index in range(len(parts))], type_), [len(part) for part in parts])
    bits = owners[order]
    repeated = np.flatnonzero(~is_first)
    for _ in parts[1:]:  # each time a bit moves one place towards the first of its run
        bits[repeated - 1] |= bits[repeated]
    return _as_uids(merged_N2.take(np.flatnonzero(is_first), axis=0)), bits.compress(is_first)


def _as_uids(words_N2: NDArray[np.uint64]) -> NDArray[np.void]:
    return words_N2.view(UID_DTYPE).ravel()


def _holds(rule: Rule, masks: Mapping[str, NDArray[np.bool_]], count: int) -> NDArray[np.bool_]:
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
    """Yield for each range of uids where it starts and stops in every file."""
    longest = max(files, key=len)
    splits = [longest[row].item() for row in range(BLOCK, len(longest), BLOCK)]
    edges = [[0] * len(files)]
    edges += [[bisect_left(uids, split, key=lambda uid: uid.item()) for uids in files] for split in splits]
    edges.append([len(uids) for uids in files])
    for starts, stops in pairwise(edges):
        yield list(zip(starts, stops, strict=True))
