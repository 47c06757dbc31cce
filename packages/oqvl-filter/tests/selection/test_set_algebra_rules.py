"""Random rules over three subsets: Python's sets, and the way that rules with scores take, say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.candidates import Candidates
from oqvl_filter.config import SelectConfig
from oqvl_filter.selection import set_algebra
from oqvl_filter.selection.expression import And, Everything, Member, Not, Or, Rule, Then, conditions, subset_paths
from oqvl_filter.selection.selection import select_candidates
from oqvl_filter.selection.set_algebra import combine, start_counts
from oqvl_filter.subset import Subset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

Uid = tuple[int, int]
LAST_WORD = 2**64 - 1
words = st.sampled_from([0, 1, 2, 2**63, LAST_WORD - 1, LAST_WORD])
pools = st.fixed_dictionaries({name: st.sets(st.tuples(words, words), max_size=15) for name in "abc"})
rules = st.recursive(
    st.one_of(st.sampled_from("abc").map(Member), st.just(Everything())),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(node, st.lists(inner, min_size=2, max_size=3).map(tuple)) for node in (And, Or, Then)),
    ),
    max_leaves=6,
).filter(subset_paths)


class SetSubset(Subset):
    """A subset in memory."""

    @property
    def uids(self):  # type: ignore[override]
        return np.array(SETS[self.digest], dtype=UID_DTYPE)


SETS: dict[str, list[Uid]] = {}


def subsets_of(members: dict[str, set[Uid]], rule: Rule) -> dict[str, Subset]:
    """The subsets that a rule names."""
    SETS.update({name: sorted(uids) for name, uids in members.items()})
    return {name: SetSubset((), name, None) for name in subset_paths(rule)}


def holds(rule: Rule, uid: Uid, members: dict[str, set[Uid]]) -> bool:
    """The rule for one uid, read plainly."""
    match rule:
        case Member(path):
            return uid in members[path]
        case Not(negated):
            return not holds(negated, uid, members)
        case Or(items):
            return any(holds(item, uid, members) for item in items)
        case And(items) | Then(items):
            return all(holds(item, uid, members) for item in items)
    return True


def config_of(rule: Rule, **values) -> SelectConfig:
    return SelectConfig(output=Path("o"), keep=str(rule), **values)


@settings(max_examples=60)
@given(pools, rules, st.sampled_from([1, 3, 1 << 16]))
def test_any_rule_keeps_the_uids_for_which_it_holds(members: dict[str, set[Uid]], rule: Rule, block: int):
    subsets = subsets_of(members, rule)
    counts = start_counts(config_of(rule), rule, subsets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_algebra, "BLOCK", block)
        blocks = list(combine(rule, subsets, counts))
    universe = set().union(*(members[name] for name in subsets))
    expected = sorted(uid for uid in universe if holds(rule, uid, members))
    assert [uid for uids in blocks for uid in uids.tolist()] == expected
    account = counts.account(len(expected))
    assert (account.num_in, account.num_kept) == (len(universe), len(expected))
    assert sum(account.rejected.values()) == len(universe) - len(expected)


@settings(max_examples=60)
@given(pools, rules)
def test_a_rule_keeps_the_same_uids_beside_scores(members: dict[str, set[Uid]], rule: Rule):
    """The samples of a score dataset that are in one of the subsets, selected by the other way."""
    subsets = subsets_of(members, rule)
    universe = sorted(set().union(*(members[name] for name in subsets)))
    candidates = Candidates(
        np.array(universe, dtype=UID_DTYPE), ("x",), np.zeros(len(universe), np.int16), {}, (len(universe),)
    )
    config = config_of(rule)
    selection = select_candidates(config, rule, candidates, subsets)
    counts = start_counts(config, rule, subsets)
    kept = [uid for uids in combine(rule, subsets, counts) for uid in uids.tolist()]
    assert candidates.uids[selection.kept].tolist() == kept


@settings(max_examples=60)
@given(pools, rules)
def test_every_condition_is_counted_as_often_as_the_rule_names_it(members: dict[str, set[Uid]], rule: Rule):
    subsets = subsets_of(members, rule)
    counts = start_counts(config_of(rule), rule, subsets)
    for _ in combine(rule, subsets, counts):
        pass
    named = [condition.path for condition in conditions(rule) if isinstance(condition, Member)]
    assert [condition.num_true for condition in counts.conditions()] == [len(members[path]) for path in named]
    assert {condition.num_null for condition in counts.conditions()} == {0}


@given(st.lists(st.sets(st.integers(0, 40), max_size=10), min_size=64, max_size=64))
@settings(max_examples=5)
def test_sixty_four_subsets_fit_and_the_last_one_counts(sets: list[set[int]]):
    members = {f"s{index:02d}": {(0, number) for number in numbers} for index, numbers in enumerate(sets)}
    rule = And((Or(tuple(map(Member, members))), Not(Member("s63"))))
    subsets = subsets_of(members, rule)
    kept = list(combine(rule, subsets, start_counts(config_of(rule), rule, subsets)))
    expected = set().union(*members.values()) - members["s63"]
    assert [uid for uids in kept for uid in uids.tolist()] == sorted(expected)


def test_the_sixty_fifth_subset_is_one_too_many():
    rule = Or(tuple(Member(f"s{index:02d}") for index in range(65)))
    subsets = subsets_of({f"s{index:02d}": set() for index in range(65)}, rule)
    with pytest.raises(ConfigError, match="found 65 subsets in the rule and no scores, expected 1 to 64"):
        start_counts(config_of(rule), rule, subsets)


@pytest.mark.parametrize("values", [{"seed": 7}, {"cache": Path("c")}])
def test_what_changes_nothing_without_scores_is_no_mistake(values: dict):
    rule = Member("a")
    assert start_counts(config_of(rule, **values), rule, subsets_of({"a": set()}, rule)).num_in == 0


@pytest.mark.parametrize("values", [{"pairs": 1}, {"tokens": 5.0}, {"prefer": "clip"}, {"quotas": {"x": 1}}])
def test_what_needs_scores_is_named(values: dict):
    rule = Member("a")
    with pytest.raises(ConfigError, match=f"found {[*values]}".replace("[", r"\[").replace("]", r"\]")) as error:
        start_counts(config_of(rule, **values), rule, subsets_of({"a": set()}, rule))
    assert error.value.hint == "give scores.LABEL=PATH"
