"""Apply a rule to candidates: every condition is an array over the N samples, and no loop runs over samples.

A condition is neither true nor false for a sample without a value in its column. `and`, `or` and `not` then work as in
SQL (Kleene, 1938): `not` of undecided is undecided, `or` with something true is true, `and` with something false is
false. A sample for which the whole rule is undecided is not kept.

- `column in top(f%)` holds for exactly floor(f x n) of the n samples in scope with a value, `top(k)` for min(k, n): the
  highest values, equal ones in the order of the uids' hash.
- `one per column` holds for one sample per value, the one whose uid has the smallest hash.
- The scope is what the steps before the nearest `then` kept.

The reason of a sample that is not kept is the first condition (or alternative, or negation) that does not hold for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oqvl_filter.candidates import Candidates, Mask, codes_of, resolve_column
from oqvl_filter.pool import DUPLICATE_UID
from oqvl_filter.score_file import is_number
from oqvl_filter.selection.balancing import NO_ENTRY, THINNED, balance
from oqvl_filter.selection.budget import OVER_BUDGET, OVER_QUOTA, best_first, by_source, first_of_each, fit_budget
from oqvl_filter.selection.config import SelectConfig
from oqvl_filter.selection.expression import (
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
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, hash_uids
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account


def resolve_rule(text: str, scores: Mapping[str, Sequence[Dataset]]) -> Rule:
    """Parse a rule, replace every name by the full name of its column, and give every subset a text of its own.

    Raises:
        ConfigError: If it does not follow the grammar, or if a name means no column or more than one.
    """

    def resolve(name: Name) -> str:
        try:
            return resolve_column(name.text, scores)
        except ConfigError as error:
            raise rule_error(text, name.at, error.message, error.hint) from error

    return tell_subsets_apart(resolve_names(parse_rule(text), resolve))


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a rule for every sample in scope.

    Args:
        true: [N] where it holds.
        null: [N] where it is undecided; None: nowhere.
    """

    true: Mask
    null: Mask | None = None


@dataclass(frozen=True)
class Selection:
    """The samples that a selection keeps, and why it drops the others.

    Args:
        kept: Mask [N].
        reasons: Number of dropped samples per reason.
        conditions: The counts of each condition, in the order of the rule's text.
    """

    kept: Mask
    reasons: Mapping[str, int]
    conditions: tuple[ConditionCount, ...]

    def account(self, num_duplicates: int) -> Account:
        """Return the account of all rows, including the `num_duplicates` that share a uid with an earlier row."""
        rejected = {**self.reasons, **({DUPLICATE_UID: num_duplicates} if num_duplicates else {})}
        num_in = len(self.kept) + num_duplicates
        return Account(num_in=num_in, num_kept=int(self.kept.sum()), rejected=dict(sorted(rejected.items())))


def statistics_of(conditions: Sequence[ConditionCount]) -> dict[str, int | str]:
    """Return the counts of conditions as statistics of a manifest."""
    statistics: dict[str, int | str] = {}
    for index, condition in enumerate(conditions):
        key = f"condition_{index:03d}"
        statistics |= {key: condition.text, f"{key}_true": condition.num_true, f"{key}_null": condition.num_null}
    return statistics


def select_candidates(
    config: SelectConfig, rule: Rule, candidates: Candidates, subsets: Mapping[str, Subset]
) -> Selection:
    """Return what the rule, then the balance, then the quotas, then the budget keep.

    Args:
        config: The configuration with resolved names.
        rule: The rule with resolved names.
        candidates: The samples.
        subsets: Subsets by path, as the rule names them.

    Raises:
        ConfigError: If a condition does not fit the type of its column, or a source does not exist.
    """
    selection = _RuleReader(config.keep, candidates, subsets, config.seed).select(rule)
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
    """Return the weights, after checking that every source has one."""
    missing = [source for source, weight in zip(sources, weights, strict=True) if weight is None]
    if missing:
        raise ConfigError(
            f"weights lacks the sources {missing}", hint="give every source a weight; with 0 nothing of it is kept"
        )
    return [weight for weight in weights if weight is not None]


def _preferred(config: SelectConfig, candidates: Candidates, kept: Mask) -> NDArray[np.int64]:
    """Return the rows of the mask `kept` in the order in which quotas and budgets take them."""
    rows = np.flatnonzero(kept)
    values = None
    if config.prefer:
        column = candidates.column(config.prefer)
        if not is_number(column.type):
            raise ConfigError(f"prefer: {config.prefer} is of type {column.type}, expected numbers")
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)[rows]
    return rows[best_first(candidates.uids[rows], values, config.seed)]


def _tokens(config: SelectConfig, candidates: Candidates) -> NDArray[np.int64]:
    """Return the tokens [N] of every pair; a pair of unknown length has only the tokens that every pair has."""
    count = config.token_count
    lengths = candidates.column(count.column)
    if not is_number(lengths.type):
        raise ConfigError(f"token_count.column: {count.column} is of type {lengths.type}, expected numbers")
    return count.fixed + np.ceil(_numbers_of(lengths) * count.per_value).astype(np.int64)


def _mask(rows: NDArray[np.int64], size: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[rows] = True
    return mask


class _RuleReader:
    """Evaluates a rule over candidates.

    Args:
        text: The rule as the user wrote it, for errors.
        candidates: The samples.
        subsets: Subsets by path, as the rule names them.
        seed: Seed of the hash that orders equal values.
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
            ConfigError: If a condition does not fit the type of its column.
        """
        kept = np.ones(len(self._candidates), dtype=bool)
        reasons = _Reasons(self._candidates)
        for step in rule.items if isinstance(rule, Then) else (rule,):
            scope = kept
            for item in step.items if isinstance(step, And) else (step,):
                outcome = self._evaluate(item, scope)
                reasons.record(kept & ~outcome.true, item, outcome.null)
                kept = kept & outcome.true
        return Selection(kept, reasons.count(), tuple(self.conditions))

    def _evaluate(self, rule: Rule, scope: Mask) -> _Outcome:
        """Return the outcome of `rule` for the samples of the mask `scope` [N]; it holds for no other sample."""
        match rule:
            case Everything():
                return _Outcome(scope)
            case Not(negated):
                inner = self._evaluate(negated, scope)
                return _Outcome(scope & ~_possible(inner), inner.null)
            case And(items):
                return _conjunction([self._evaluate(item, scope) for item in items])
            case Or(items):
                return _disjunction([self._evaluate(item, scope) for item in items])
            case Then(items):
                outcomes = []
                for item in items:
                    outcomes.append(self._evaluate(item, scope))
                    scope = outcomes[-1].true
                return _Outcome(scope, _any_of([outcome.null for outcome in outcomes]))
            case _:
                outcome = self._condition(rule, scope)
                num_null = 0 if outcome.null is None else int(np.count_nonzero(outcome.null))
                self.conditions.append(ConditionCount(str(rule), int(np.count_nonzero(outcome.true)), num_null))
                return outcome

    def _condition(self, condition: Condition, scope: Mask) -> _Outcome:
        """Return the outcome of one condition; samples of `scope` without a value in its column are undecided."""
        if isinstance(condition, Member):
            return _Outcome(scope & contains(self._subsets[condition.path].uids, self._candidates.uids))
        values = self._candidates.column(condition.column.text)
        is_null = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        if pa.types.is_floating(values.type):
            nan = np.isnan(values.to_numpy(zero_copy_only=False))
            is_null = nan if nan.any() else is_null
        if isinstance(condition, Null):
            holds = np.zeros_like(scope) if is_null is None else is_null
            return _Outcome(scope & (~holds if condition.negated else holds))
        null = None if is_null is None else scope & is_null
        valued = scope if is_null is None else scope & ~is_null
        match condition:
            case Comparison(column, operator, Quantile(share)):
                return _Outcome(self._against_quantile(column, operator, share, condition.per, values, valued), null)
            case Comparison(column, operator, bool() | int() | float() | str() as value):
                return _Outcome(valued & self._compare(column, operator, value, values), null)
            case Among(column, options):
                matches = [self._compare(column, "==", option, values) for option in options]
                return _Outcome(valued & np.logical_or.reduce(matches), null)
            case Rank(column, amount, lowest, per):
                return _Outcome(self._rank(column, amount, lowest, per, values, valued), null)
        return _Outcome(self._one_per(codes_of(values), valued), null)

    def _compare(self, column: Name, operator: str, value: Value, values: pa.Array) -> Mask:
        """Return a mask [N] of the values that compare so with `value`. Its entries for missing values mean nothing."""
        if is_number(values.type) and not isinstance(value, bool | str):
            # numpy compares in the column's precision, so a bound of 0.7 keeps a stored float32 0.7.
            return COMPARISONS[operator](_numbers_of(values), value)
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
        """Return a mask [N] of the samples that compare so with the quantile of their group."""
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
        """Return a mask [N] of the samples that rank first in their group."""
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
        """Return a mask [N] with one sample per code among those of the mask `valued`."""
        rows = np.flatnonzero(valued)
        by_value = rows[np.argsort(codes_N[rows], kind="stable")]
        codes = codes_N[by_value]
        is_new = np.ones(len(codes), dtype=bool)
        is_new[1:] = codes[1:] != codes[:-1]
        # Most values occur once; only samples that share a value need a hash.
        is_alone = is_new & np.append(is_new[1:], True)
        holds = np.zeros_like(valued)
        holds[by_value[is_alone]] = True
        shared = by_value[~is_alone]
        shared = shared[self._hash_order(shared)]
        _, first = np.unique(codes_N[shared], return_index=True)
        holds[shared[first]] = True
        return holds

    def _groups(self, per: Name | None, valued: Mask) -> list[NDArray[np.int64]]:
        """Return the rows of the mask `valued`, grouped by the value of the column `per`."""
        rows = np.flatnonzero(valued)
        if per is None:
            return [rows]
        codes = codes_of(self._candidates.column(per.text))[rows]
        # A sample without a value of `per` is in no group, so no rank or quantile holds for it.
        rows, codes = rows[codes >= 0], codes[codes >= 0]
        if len(codes) and codes.max() < 1 << 16:
            codes = codes.astype(np.uint16)  # numpy sorts these by radix
        order = np.argsort(codes, kind="stable")
        return np.split(rows[order], np.flatnonzero(np.diff(codes[order])) + 1)

    def _numbers(self, column: Name, values: pa.Array) -> NDArray[np.number]:
        if not is_number(values.type):
            raise self._mismatch(column, values, "numbers")
        return _numbers_of(values)

    def _mismatch(self, column: Name, values: pa.Array, expected: str) -> Exception:
        type_ = "string" if pa.types.is_dictionary(values.type) else values.type
        return rule_error(self._text, column.at, f"the column {column} is of type {type_}, expected {expected}")


class _Reasons:
    """Counts which part of the rule dropped the samples.

    Args:
        candidates: The samples.
    """

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._counts: dict[str, int] = {}

    def record(self, stopped: Mask, item: Rule, null: Mask | None) -> None:
        """Record that `item` dropped the samples of the mask `stopped`, those of `null` because they have no value."""
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
        """Return the number of dropped samples per reason, sorted by reason."""
        return dict(sorted(self._counts.items()))

    def _add_unscored(self, column: str, undecided: Mask) -> None:
        """Count samples without a value in `column` under the scorer's own reasons."""
        label = column.partition(".")[0]
        rejects = self._candidates.rejects(label).filter(pa.array(undecided))
        for entry in rejects.value_counts().to_pylist():
            reason = f"no {column}" if entry["values"] is None else f"{label} rejected it: {entry['values']}"
            self._counts[reason] = self._counts.get(reason, 0) + entry["counts"]

    def _add(self, reason: str, samples: Mask) -> None:
        if count := int(np.count_nonzero(samples)):
            self._counts[reason] = self._counts.get(reason, 0) + count


def _numbers_of(values: pa.Array) -> NDArray[np.number]:
    """Return a column of numbers as an array of the column's type, with 0 for null."""
    return (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)


def _possible(outcome: _Outcome) -> Mask:
    return outcome.true if outcome.null is None else outcome.true | outcome.null


def _conjunction(outcomes: list[_Outcome]) -> _Outcome:
    true = np.logical_and.reduce([outcome.true for outcome in outcomes])
    if all(outcome.null is None for outcome in outcomes):
        return _Outcome(true)
    return _Outcome(true, np.logical_and.reduce([_possible(outcome) for outcome in outcomes]) & ~true)


def _disjunction(outcomes: list[_Outcome]) -> _Outcome:
    true = np.logical_or.reduce([outcome.true for outcome in outcomes])
    null = _any_of([outcome.null for outcome in outcomes])
    return _Outcome(true, None if null is None else null & ~true)


def _any_of(masks: list[Mask | None]) -> Mask | None:
    given = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(given) if given else None
