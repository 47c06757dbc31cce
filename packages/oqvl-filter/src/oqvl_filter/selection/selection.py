"""Apply a rule to candidates: every condition is an array over the N samples, and no loop runs over samples.

A condition on a column that has no value for a sample is neither true nor false there. `and`, `or` and `not` follow
from that as in SQL (Kleene, 1938): `not` leaves it undecided, `or` with something true is true, `and` with something
false is false. What is undecided in the end is not kept.

- `column in top(f%)` holds for exactly floor(f x n) of the n samples in scope with a value, `top(k)` for min(k, n): the
  highest values, equal ones in the order of the uids' hash;
- `one per column` holds for that sample of every value whose uid has the smallest hash;
- in scope is what the steps before the nearest `then` have kept.

The reason of a sample that is not kept is the first condition (or alternative, or negation) of the first step that does
not hold for it.
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

from oqvl_filter.config import SelectConfig
from oqvl_filter.expression import (
    COMPARISONS,
    Among,
    And,
    Comparison,
    Condition,
    ConditionCount,
    Everything,
    Member,
    Name,
    Not,
    Null,
    OnePer,
    Or,
    Quantile,
    Rank,
    Rule,
    Then,
    Value,
    parse_rule,
    resolve_names,
    rule_error,
    tell_subsets_apart,
)
from oqvl_filter.pool import DUPLICATE_UID
from oqvl_filter.score_file import is_number
from oqvl_filter.selection.balancing import NO_ENTRY, THINNED, balance
from oqvl_filter.selection.budget import OVER_BUDGET, OVER_QUOTA, best_first, by_source, first_of_each, fit_budget
from oqvl_filter.selection.candidates import Candidates, Mask, resolve_column
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, hash_uids
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account, Sha256


class SelectStep(StageConfig):
    """What the lineage of a subset records: the configuration, names resolved, and the digests of what it names."""

    config: SelectConfig = Field(description="the configuration; `keep` is the normalised rule")
    subsets: tuple[tuple[str, Sha256], ...] = Field(description="file name and digest of the rule's subsets, in order")
    scores: dict[str, tuple[Sha256, ...]] = Field(description="digests of the manifests of each label's scores")

    @classmethod
    def of(
        cls, config: SelectConfig, rule: Rule, scores: Mapping[str, Sequence[Dataset]], subsets: Mapping[str, Subset]
    ) -> Self:
        """Describe the step that selects by `rule` (with resolved names) and by the rest of `config`."""
        changes: dict[str, Any] = {"keep": str(rule)}
        if config.prefer:
            changes["prefer"] = resolve_column(config.prefer, scores, "prefer")
        if config.tokens is not None:
            column = resolve_column(config.token_count.column, scores, "token_count.column")
            changes["token_count"] = config.token_count.model_copy(update={"column": column})
        if config.balance.column:
            column = resolve_column(config.balance.column, scores, "balance.column")
            changes["balance"] = config.balance.model_copy(update={"column": column})
        return cls(
            config=config.model_copy(update=changes),
            subsets=tuple((Path(path).name, subset.digest) for path, subset in subsets.items()),
            scores={key: tuple(one.manifest.digest() for one in datasets) for key, datasets in scores.items()},
        )


def resolve_rule(text: str, scores: Mapping[str, Sequence[Dataset]]) -> Rule:
    """Parse a rule and replace every name in it by that of the column it means; no two subsets are written alike.

    Raises:
        ConfigError: When it cannot be read, or names no column, or more than one.
    """

    def resolve(name: Name) -> str:
        try:
            return resolve_column(name.text, scores)
        except ConfigError as error:
            raise rule_error(text, name.at, error.message, error.hint) from error

    return tell_subsets_apart(resolve_names(parse_rule(text), resolve))


@dataclass(frozen=True)
class Outcome:
    """What a rule says of every sample in scope.

    Args:
        true: [N] where it holds.
        null: [N] where it is undecided; None when nowhere.
    """

    true: Mask
    null: Mask | None = None


@dataclass(frozen=True)
class Selection:
    """The outcome of a rule.

    Args:
        kept: Mask [N].
        reasons: Why the others are not, with counts.
        conditions: What each condition of the rule did, in the order of its text.
    """

    kept: Mask
    reasons: Mapping[str, int]
    conditions: tuple[ConditionCount, ...]

    def account(self, num_duplicates: int) -> Account:
        """Return the account of all rows, those included that share a uid with an earlier one."""
        rejected = {**self.reasons, **({DUPLICATE_UID: num_duplicates} if num_duplicates else {})}
        num_in = len(self.kept) + num_duplicates
        return Account(num_in=num_in, num_kept=int(self.kept.sum()), rejected=dict(sorted(rejected.items())))


def statistics_of(conditions: Sequence[ConditionCount]) -> dict[str, int | str]:
    """Return the counts of conditions as statistics of a manifest."""
    statistics: dict[str, int | str] = {}
    for index, one in enumerate(conditions):
        key = f"condition_{index:03d}"
        statistics |= {key: one.text, f"{key}_true": one.num_true, f"{key}_null": one.num_null}
    return statistics


def select_candidates(
    config: SelectConfig, rule: Rule, candidates: Candidates, subsets: Mapping[str, Subset]
) -> Selection:
    """Return what the rule, then the balance, then quotas, then the budget keep.

    Args:
        config: With resolved names, see `SelectStep`.
        rule: With resolved names.
        candidates: The samples.
        subsets: By path, as the rule names them.

    Raises:
        ConfigError: When a condition does not fit the type of its column, or a source is not there.
    """
    selection = RuleReader(config.keep, candidates, subsets, config.seed).select(rule)
    kept, reasons = selection.kept, dict(selection.reasons)

    def narrow(remaining: Mask, reason: str) -> None:
        nonlocal kept
        if lost := int(np.count_nonzero(kept & ~remaining)):
            reasons[reason] = lost
        kept = kept & remaining

    if config.balance.column:
        entries = candidates.column(config.balance.column)
        stays, has_entry = balance(entries, hash_uids(candidates.uids, config.seed), kept, config.balance.cap)
        narrow(has_entry, NO_ENTRY)
        narrow(stays, THINNED)
    quotas = by_source("quotas", config.quotas, candidates.sources)
    weights = by_source("weights", config.weights, candidates.sources)
    if config.quotas or config.pairs is not None or config.tokens is not None:
        order = _preferred(config, candidates, kept)
        if config.quotas:
            order = first_of_each(order, candidates.source_codes, quotas)
            narrow(_mask(order, len(kept)), OVER_QUOTA)
        if config.pairs is not None or config.tokens is not None:
            costs = _tokens(config, candidates) if config.tokens else np.ones(len(kept), dtype=np.int64)
            budget = int(config.tokens or config.pairs or 0)
            shares = _shares(weights, candidates.sources) if config.weights else None
            narrow(_mask(fit_budget(order, candidates.source_codes, costs, budget, shares), len(kept)), OVER_BUDGET)
    return Selection(kept, dict(sorted(reasons.items())), selection.conditions)


def _shares(weights: Sequence[float | None], sources: Sequence[str]) -> list[float]:
    missing = [source for source, weight in zip(sources, weights, strict=True) if weight is None]
    if missing:
        raise ConfigError(
            f"weights lacks the sources {missing}", hint="give every source a weight; 0 keeps nothing of it"
        )
    return [weight for weight in weights if weight is not None]


def _preferred(config: SelectConfig, candidates: Candidates, kept: Mask) -> NDArray[np.int64]:
    rows = np.flatnonzero(kept)
    values = None
    if config.prefer:
        column = candidates.column(config.prefer)
        if not is_number(column.type):
            raise ConfigError(f"prefer: {config.prefer} is of type {column.type}, expected numbers")
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)[rows]
    return rows[best_first(candidates.uids[rows], values, config.seed)]


def _tokens(config: SelectConfig, candidates: Candidates) -> NDArray[np.int64]:
    """Return the tokens [N] of every pair; one whose length is not known has those that every pair has."""
    count = config.token_count
    lengths = candidates.column(count.column)
    if not is_number(lengths.type):
        raise ConfigError(f"token_count.column: {count.column} is of type {lengths.type}, expected numbers")
    return count.fixed + np.ceil(numbers_of(lengths) * count.per_value).astype(np.int64)


def _mask(rows: NDArray[np.int64], size: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[rows] = True
    return mask


class RuleReader:
    """Evaluates a rule over candidates.

    Args:
        text: The rule as it was written, for errors.
        candidates: The samples.
        subsets: By path, as the rule names them.
        seed: Of the hash that orders equal values.
    """

    def __init__(self, text: str, candidates: Candidates, subsets: Mapping[str, Subset], seed: int) -> None:
        self._text = text
        self._candidates = candidates
        self._subsets = subsets
        self._seed = seed
        self.conditions: list[ConditionCount] = []

    def select(self, rule: Rule) -> Selection:
        """Return what `rule` (with resolved names) keeps.

        Raises:
            ConfigError: When a condition does not fit the type of its column.
        """
        kept = np.ones(len(self._candidates), dtype=bool)
        reasons = Reasons(self._candidates)
        for step in rule.items if isinstance(rule, Then) else (rule,):
            scope = kept
            for item in step.items if isinstance(step, And) else (step,):
                outcome = self.evaluate(item, scope)
                reasons.record(kept & ~outcome.true, item, outcome.null)
                kept = kept & outcome.true
        return Selection(kept, reasons.count(), tuple(self.conditions))

    def evaluate(self, rule: Rule, scope: Mask) -> Outcome:
        """Return what `rule` says of the samples of the mask `scope` [N]; of the others it holds for none."""
        match rule:
            case Everything():
                return Outcome(scope)
            case Not(negated):
                inner = self.evaluate(negated, scope)
                return Outcome(scope & ~_possible(inner), inner.null)
            case And(items):
                return _conjunction([self.evaluate(item, scope) for item in items])
            case Or(items):
                return _disjunction([self.evaluate(item, scope) for item in items])
            case Then(items):
                outcomes = []
                for item in items:
                    outcomes.append(self.evaluate(item, scope))
                    scope = outcomes[-1].true
                return Outcome(scope, _any_of([one.null for one in outcomes]))
            case _:
                outcome = self._condition(rule, scope)
                num_null = 0 if outcome.null is None else int(np.count_nonzero(outcome.null))
                self.conditions.append(ConditionCount(str(rule), int(np.count_nonzero(outcome.true)), num_null))
                return outcome

    def _condition(self, condition: Condition, scope: Mask) -> Outcome:
        if isinstance(condition, Member):
            return Outcome(scope & contains(self._subsets[condition.path].uids, self._candidates.uids))
        values = self._candidates.column(condition.column.text)
        is_null = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        if pa.types.is_floating(values.type):
            nan = np.isnan(values.to_numpy(zero_copy_only=False))
            is_null = nan if nan.any() else is_null
        if isinstance(condition, Null):
            holds = np.zeros_like(scope) if is_null is None else is_null
            return Outcome(scope & (~holds if condition.negated else holds))
        null = None if is_null is None else scope & is_null
        valued = scope if is_null is None else scope & ~is_null
        match condition:
            case Comparison(column, operator, Quantile(share)):
                return Outcome(self._against_quantile(column, operator, share, condition.per, values, valued), null)
            case Comparison(column, operator, bool() | int() | float() | str() as value):
                return Outcome(valued & self._compare(column, operator, value, values), null)
            case Among(column, options):
                found = [self._compare(column, "==", option, values) for option in options]
                return Outcome(valued & np.logical_or.reduce(found), null)
            case Rank(column, amount, lowest, per):
                return Outcome(self._rank(column, amount, lowest, per, values, valued), null)
        return Outcome(self._one_per(codes_of(values), valued), null)

    def _compare(self, column: Name, operator: str, value: Value, values: pa.Array) -> Mask:
        if is_number(values.type) and not isinstance(value, bool | str):
            # numpy compares in the column's own precision, so that a bound of 0.7 keeps a stored float32 0.7.
            return COMPARISONS[operator](numbers_of(values), value)
        is_text = pa.types.is_string(values.type) or pa.types.is_dictionary(values.type)
        fits = isinstance(value, str) if is_text else values.type == pa.bool_() and isinstance(value, bool)
        if not fits or operator not in ("==", "!="):
            raise self._mismatch(column, values, "numbers" if is_number(values.type) else "== or != and such a value")
        if pa.types.is_dictionary(values.type):
            values = values.cast(pa.string())
        equal = pc.call_function("equal", [values, pa.scalar(value, values.type)]).fill_null(False)
        return COMPARISONS[operator](equal.to_numpy(zero_copy_only=False), True)

    def _against_quantile(
        self, column: Name, operator: str, share: Fraction, per: Name | None, values: pa.Array, valued: Mask
    ) -> Mask:
        numbers_N = self._numbers(column, values)
        holds = np.zeros_like(valued)
        for rows in self._groups(per, valued):
            if len(rows):
                place = max(-(-len(rows) * share.numerator // share.denominator), 1) - 1
                bound = np.partition(numbers_N[rows], place)[place]
                holds[rows] = COMPARISONS[operator](numbers_N[rows], bound)
        return holds

    def _rank(
        self, column: Name, amount: Fraction | int, lowest: bool, per: Name | None, values: pa.Array, valued: Mask
    ) -> Mask:
        numbers_N = self._numbers(column, values)
        holds = np.zeros_like(valued)
        for rows in self._groups(per, valued):
            count = amount if isinstance(amount, int) else len(rows) * amount.numerator // amount.denominator
            holds[self._best(numbers_N, rows, count, lowest)] = True
        return holds

    def _best(
        self, numbers_N: NDArray[np.number], rows: NDArray[np.int64], count: int, lowest: bool
    ) -> NDArray[np.int64]:
        """Return the `count` of `rows` with the highest numbers, equal ones in the order of the uids' hash."""
        if count >= len(rows):
            return rows
        if count == 0:
            return rows[:0]
        numbers_R = numbers_N[rows]
        place = count - 1 if lowest else len(rows) - count
        bound = np.partition(numbers_R, place)[place]
        better = rows[numbers_R < bound if lowest else numbers_R > bound]
        ties = rows[numbers_R == bound]
        return np.concatenate([better, ties[self._hash_order(ties)][: count - len(better)]])

    def _hash_order(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the order of `rows` by the hash of their uids; equal hashes by uid."""
        uids = self._candidates.uids[rows]
        return np.lexsort((uids["f1"], uids["f0"], hash_uids(uids, self._seed)))

    def _one_per(self, codes_N: NDArray[np.int64], valued: Mask) -> Mask:
        rows = np.flatnonzero(valued)
        by_value = rows[np.argsort(codes_N[rows], kind="stable")]
        codes = codes_N[by_value]
        is_new = np.ones(len(codes), dtype=bool)
        is_new[1:] = codes[1:] != codes[:-1]
        # Most values come once; only the others need a hash.
        is_alone = is_new & np.append(is_new[1:], True)
        holds = np.zeros_like(valued)
        holds[by_value[is_alone]] = True
        shared = by_value[~is_alone]
        shared = shared[self._hash_order(shared)]
        _, first = np.unique(codes_N[shared], return_index=True)
        holds[shared[first]] = True
        return holds

    def _groups(self, per: Name | None, valued: Mask) -> list[NDArray[np.int64]]:
        """Return the rows of the mask `valued`, those of every value of the column `per` together."""
        rows = np.flatnonzero(valued)
        if per is None:
            return [rows]
        codes = codes_of(self._candidates.column(per.text))[rows]
        # A sample without a value of `per` is in no group, so it ranks nowhere.
        rows, codes = rows[codes >= 0], codes[codes >= 0]
        if len(codes) and codes.max() < 1 << 16:
            codes = codes.astype(np.uint16)  # which numpy sorts by radix
        order = np.argsort(codes, kind="stable")
        return np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)

    def _numbers(self, column: Name, values: pa.Array) -> NDArray[np.number]:
        if not is_number(values.type):
            raise self._mismatch(column, values, "numbers")
        return numbers_of(values)

    def _mismatch(self, column: Name, values: pa.Array, expected: str) -> Exception:
        type_ = "string" if pa.types.is_dictionary(values.type) else values.type
        return rule_error(self._text, column.at, f"the column {column} is of type {type_}, expected {expected}")


class Reasons:
    """Remembers for every sample what stopped it.

    Args:
        candidates: The samples.
    """

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._counts: dict[str, int] = {}

    def record(self, stopped: Mask, item: Rule, null: Mask | None) -> None:
        """Note that `item` stopped the samples of the mask `stopped`, those of `null` for want of a value."""
        undecided = None if null is None else stopped & null
        if undecided is None or not undecided.any():
            self._add(str(item), stopped)
            return
        self._add(str(item), stopped & ~undecided)
        if isinstance(item, Comparison | Rank | Among | OnePer):
            self._add_unscored(item.column.text, undecided)
        else:
            self._add(f"no value to decide: {item}", undecided)

    def count(self) -> dict[str, int]:
        """Return how many samples were stopped by what, sorted by name."""
        return dict(sorted(self._counts.items()))

    def _add_unscored(self, column: str, undecided: Mask) -> None:
        label = column.partition(".")[0]
        rejects = self._candidates.rejects(label).filter(pa.array(undecided))
        for entry in rejects.value_counts().to_pylist():
            reason = f"no {column}" if entry["values"] is None else f"{label} rejected it: {entry['values']}"
            self._counts[reason] = self._counts.get(reason, 0) + entry["counts"]

    def _add(self, reason: str, samples: Mask) -> None:
        if count := int(np.count_nonzero(samples)):
            self._counts[reason] = self._counts.get(reason, 0) + count


def numbers_of(values: pa.Array) -> NDArray[np.number]:
    """Return a column of numbers as an array of its own type, 0 where it has no value."""
    return (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)


def codes_of(values: pa.Array) -> NDArray[np.int64]:
    """Return a number for each value [N], the same for equal ones; -1 where there is none."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    return values.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _possible(outcome: Outcome) -> Mask:
    return outcome.true if outcome.null is None else outcome.true | outcome.null


def _conjunction(outcomes: list[Outcome]) -> Outcome:
    true = np.logical_and.reduce([one.true for one in outcomes])
    if all(one.null is None for one in outcomes):
        return Outcome(true)
    return Outcome(true, np.logical_and.reduce([_possible(one) for one in outcomes]) & ~true)


def _disjunction(outcomes: list[Outcome]) -> Outcome:
    true = np.logical_or.reduce([one.true for one in outcomes])
    null = _any_of([one.null for one in outcomes])
    return Outcome(true, None if null is None else null & ~true)


def _any_of(masks: list[Mask | None]) -> Mask | None:
    given = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(given) if given else None
