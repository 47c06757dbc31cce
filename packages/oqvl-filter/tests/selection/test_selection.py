"""Selection against a plain reading of the rule, one sample at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.candidates import Candidates, Label
from oqvl_filter.config import SelectConfig
from oqvl_filter.selection.expression import (
    COMPARISONS,
    Among,
    And,
    Comparison,
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
    parse_rule,
)
from oqvl_filter.selection.selection import Selection, select_candidates
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

Row = tuple[float | None, str | None, int]


class HeldSubset(Subset):
    """Every third sample."""

    @property
    def uids(self):  # type: ignore[override]
        return np.array([(number, 0) for number in range(0, 40, 3)], dtype=UID_DTYPE)


SUBSETS = {"published.npy": HeldSubset((), "0" * 64, None)}


def candidates_of(rows: list[Row]) -> Candidates:
    """Samples 0, 1, ... with a score, a content and a source."""
    columns = {
        "a.score": pa.array([score for score, _, _ in rows], pa.float32()),
        "a.content": pa.array([content for _, content, _ in rows], pa.string()),
        "a.reject": pa.array([None if score is not None else "image_broken" for score, _, _ in rows], pa.string()),
    }
    uids = np.array([(number, 0) for number in range(len(rows))], dtype=UID_DTYPE)
    codes = np.array([source for _, _, source in rows], dtype=np.int16)
    return Candidates(uids, ("x", "y"), codes, {"a": Label(())}, (len(rows),), _read=columns)


def select(rows: list[Row], rule: Rule | str, **config) -> Selection:
    parsed = parse_rule(rule) if isinstance(rule, str) else rule
    settings = SelectConfig.from_values({"output": "o", "keep": str(parsed), "seed": 5, **config})
    return select_candidates(settings, parsed, candidates_of(rows), SUBSETS)


def value(rows: list[Row], name: Name | None, n: int):
    score, content, source = rows[n]
    return {"a.score": score, "a.content": content, "source": "xy"[source], "": 0}[name.text if name else ""]


def groups(rows: list[Row], name: Name | None, members: list[int]):
    found: dict[object, list[int]] = {}
    for n in members:
        if value(rows, name, n) is not None:
            found.setdefault(value(rows, name, n), []).append(n)
    return found.values()


def plain_condition(rows: list[Row], rule, scope: set[int]) -> tuple[set[int], set[int]]:
    """What the documentation says of a condition on a column."""
    hashes = hash_uids(candidates_of(rows).uids, 5).tolist()
    null = {n for n in scope if value(rows, rule.column, n) is None}
    members = sorted(scope - null, key=lambda n: hashes[n])
    true = set()
    match rule:
        case Comparison(column, operator, Quantile(share), per):
            for group in groups(rows, per, members):
                ranked = sorted(value(rows, column, n) for n in group)
                bound = ranked[max(math.ceil(share * len(ranked)), 1) - 1]
                true |= {n for n in group if COMPARISONS[operator](value(rows, column, n), bound)}
        case Comparison(column, operator, wanted):
            true = {n for n in members if COMPARISONS[operator](value(rows, column, n), wanted)}
        case Among(column, values):
            true = {n for n in members if value(rows, column, n) in values}
        case Rank(column, amount, lowest, per):
            for group in groups(rows, per, members):
                ranked = sorted(group, key=lambda n: value(rows, column, n) * (1 if lowest else -1))
                count = amount if isinstance(amount, int) else math.floor(amount * len(group))
                true |= set(ranked[:count])
        case OnePer(column):
            true = {group[0] for group in groups(rows, column, members)}
    return true, null


def plain_reading(rows: list[Row], rule: Rule, scope: set[int]) -> tuple[set[int], set[int]]:
    """What the documentation says: the samples for which the rule holds, and those where it is undecided."""
    match rule:
        case Everything():
            return scope, set()
        case Not(inner):
            true, null = plain_reading(rows, inner, scope)
            return scope - true - null, null
        case And(items):
            outcomes = [plain_reading(rows, item, scope) for item in items]
            true = set.intersection(*(t for t, _ in outcomes))
            return true, set.intersection(*(t | n for t, n in outcomes)) - true
        case Or(items):
            outcomes = [plain_reading(rows, item, scope) for item in items]
            true = set.union(*(t for t, _ in outcomes))
            return true, set.union(*(n for _, n in outcomes)) - true
        case Then(items):
            undecided: set[int] = set()
            for item in items:
                scope, null = plain_reading(rows, item, scope)
                undecided |= null
            return scope, undecided
        case Member():
            return {n for n in scope if n % 3 == 0}, set()
        case Null(column, negated):
            return {n for n in scope if (value(rows, column, n) is None) != negated}, set()
    return plain_condition(rows, rule, scope)


rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])),
        st.one_of(st.none(), st.sampled_from("pqr")),
        st.integers(0, 1),
    ),
    max_size=30,
)
SCORE, CONTENT = Name("a.score"), Name("a.content")
pers = st.sampled_from([None, CONTENT, Name("source")])
leaves = st.one_of(
    st.builds(Comparison, st.just(SCORE), st.sampled_from(sorted(COMPARISONS)), st.sampled_from([0.25, 0.5])),
    st.builds(Comparison, st.just(CONTENT), st.sampled_from(["==", "!="]), st.sampled_from("pq")),
    st.builds(
        Comparison,
        st.just(SCORE),
        st.sampled_from(sorted(COMPARISONS)),
        st.builds(Quantile, st.sampled_from([Fraction(0), Fraction(3, 10), Fraction(1, 2), Fraction(1)])),
        pers,
    ),
    st.builds(
        Rank,
        st.just(SCORE),
        st.sampled_from([Fraction(1, 10), Fraction(29, 100), Fraction(1), 1, 4]),
        st.booleans(),
        pers,
    ),
    st.builds(Among, st.just(SCORE), st.just((0.5, 0.75))),
    st.builds(Among, st.just(CONTENT), st.just(("p", "r"))),
    st.builds(Null, st.sampled_from([SCORE, CONTENT]), st.booleans()),
    st.builds(OnePer, st.sampled_from([SCORE, CONTENT, Name("source")])),
    st.just(Member("published.npy")),
    st.just(Everything()),
)
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(node, st.lists(inner, min_size=2, max_size=3).map(tuple)) for node in (And, Or, Then)),
    ),
    max_leaves=6,
)


@given(rows, rules)
def test_selection_is_what_the_rule_says(rows: list[Row], rule: Rule):
    selection = select(rows, rule)
    expected, _ = plain_reading(rows, rule, set(range(len(rows))))
    assert set(np.flatnonzero(selection.kept).tolist()) == expected
    account = selection.account(num_duplicates=2)
    assert (account.num_in, account.num_kept) == (len(rows) + 2, len(expected))


@pytest.mark.parametrize(("share", "count"), [("29%", 29), ("15%", 15), ("99.9%", 99), ("0.9%", 0), ("100%", 100)])
def test_a_share_is_exact_and_rounds_down(share: str, count: int):
    assert select([(0.5, "p", 0)] * 100, f"a.score in top({share})").kept.sum() == count  # nothing but ties


def test_ties_break_by_the_seed_and_not_by_position():
    kept = [np.flatnonzero(select([(0.5, "p", 0)] * 100, "a.score in top(10)", seed=s).kept).tolist() for s in (5, 6)]
    assert kept[0] != kept[1]
    assert kept[0] != list(range(10))


def test_a_bound_keeps_a_stored_value_that_prints_the_same():
    assert select([(0.7, "p", 0), (0.69999, "p", 0)], "a.score >= 0.7").kept.tolist() == [True, False]


def test_no_value_is_neither_high_nor_low():
    rows: list[Row] = [(None, "p", 0), (0.5, None, 0), (math.nan, "p", 0)]
    assert select(rows, "a.score >= 0 or not a.score >= 0").kept.tolist() == [False, True, False]
    assert select(rows, "a.score is null").kept.tolist() == [True, False, True]
    assert select(rows, "a.score >= 0.9 or a.content == 'p'").kept.tolist() == [True, False, True]


def test_every_rejection_has_the_first_reason_in_the_rule():
    rows: list[Row] = [(1.0, "p", 0), (0.5, "p", 0), (None, None, 0), (0.0, "q", 0), (0.9, None, 0)]
    selection = select(rows, "a.score >= 0.4 and (a.content == 'p' or a.content == 'r') then a.score in top(1)")
    assert selection.kept.tolist() == [True, False, False, False, False]
    assert selection.reasons == {
        "a rejected it: image_broken": 1,
        "a.score >= 0.4": 1,
        "a.score in top(1)": 1,
        'no value to decide: a.content == "p" or a.content == "r"': 1,
    }
    counts = [(one.num_true, one.num_null) for one in selection.conditions]
    assert counts == [(3, 1), (2, 2), (0, 2), (1, 0)]
    assert select(rows, "a.content == 'p'").reasons == {
        'a.content == "p"': 1,
        "no a.content": 1,
        "a rejected it: image_broken": 1,
    }


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("a.content >= 1", 0),
        ("all and a.score == 'many'", 8),
        ("a.content in top(3)", 0),
        ("a.content > quantile(0.5)", 0),
        ("a.content in (1, 2)", 0),
        ("source == 3", 0),
        ("a.score == true", 0),
    ],
)
def test_a_condition_that_does_not_fit_its_column_is_pointed_at(rule: str, place: int):
    with pytest.raises(ConfigError, match=f"character {place + 1}: the column .* is of type"):
        select([(1.0, "p", 0)], rule)


def test_a_budget_takes_the_preferred_ones_exactly():
    rows: list[Row] = [(n / 40 if n % 4 else None, "p", n % 2) for n in range(40)]
    best = select(rows, "all", pairs=7, prefer="a.score")
    assert np.flatnonzero(best.kept).tolist() == [30, 31, 33, 34, 35, 37, 38, 39][-7:]
    assert best.reasons == {"over the budget": 33}
    assert select(rows, "all", pairs=100).kept.all()
    assert select(rows, "all", pairs=7).kept.sum() == 7
    shared = select(rows, "all", pairs=9, weights={"x": 2, "y": 1}, quotas={"x": 4})
    assert (shared.kept[::2].sum(), shared.kept[1::2].sum()) == (4, 5)
    assert shared.reasons == {"over its source's quota": 16, "over the budget": 15}


def test_a_source_without_a_weight_is_not_dropped_in_silence():
    with pytest.raises(ConfigError, match=r"weights lacks the sources \['y'\]"):
        select([(1.0, "p", 0)], "all", pairs=1, weights={"x": 1})


def test_a_budget_of_tokens_counts_what_every_pair_has():
    rows: list[Row] = [(float(n), "p", 0) for n in range(10)]
    count = {"column": "a.score", "per_value": 0.5, "fixed": 10}
    kept = select(rows, "all", tokens=43, token_count=count, prefer="a.score").kept  # 15 + 14 + 14 are 43
    assert np.flatnonzero(kept).tolist() == [7, 8, 9]
    assert select(rows, "all", tokens=42.9, token_count=count, prefer="a.score").kept.sum() == 2
