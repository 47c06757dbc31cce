"""Selection against a plain reading of its rules, one sample at a time."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.config import Condition, SelectConfig
from oqvl_filter.selection import Candidates, apply_selection, describe_rule
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

SUBSET = Path("published.npy")


def candidates_of(rows: list[tuple[float | None, str | None]], num_duplicates: int = 0) -> Candidates:
    """Samples 0, 1, ... with a score and a content; every third is in the subset."""
    uids = np.array([(number, 0) for number in range(len(rows))], dtype=UID_DTYPE)
    rejects = [None if score is not None else "image_broken" for score, _ in rows]
    table = pa.table(
        {
            "score": pa.array([score for score, _ in rows], pa.float32()),
            "content": pa.array([content for _, content in rows], pa.string()),
            "reject": pa.array(rejects, pa.string()),
        }
    )
    subset = Subset(uids[::3][::-1], "0" * 64, None)
    return Candidates(uids, num_duplicates, {"a": table}, {SUBSET: subset}, seed=5)


def plain_reading(candidates: Candidates, groups: list[list[Condition]], then: list[Condition]) -> list[int]:
    """What the documentation says, sample by sample."""
    scores = candidates.scores["a"]["score"].to_pylist()
    contents = candidates.scores["a"]["content"].to_pylist()
    hashes = hash_uids(candidates.uids, candidates.seed).tolist()

    def apply(condition: Condition, left: list[int]) -> list[int]:
        if condition.subset is not None:
            return [n for n in left if n % 3 == 0]
        if condition.first_of:
            best: dict[str, int] = {}
            for n in sorted(left, key=lambda n: hashes[n]):
                if contents[n] is not None:
                    best.setdefault(contents[n], n)
            return sorted(best.values())
        if condition.equals is not None:
            return [n for n in left if contents[n] == condition.equals]
        left = [n for n in left if scores[n] is not None]
        best_first = sorted(left, key=lambda n: (-scores[n], hashes[n]))
        if condition.top_fraction is not None:
            return sorted(best_first[: math.floor(Fraction(str(condition.top_fraction)) * len(left))])
        if condition.top_count is not None:
            return sorted(best_first[: condition.top_count])
        low = -math.inf if condition.at_least is None else condition.at_least
        high = math.inf if condition.at_most is None else condition.at_most
        return [n for n in left if low <= scores[n] <= high]

    kept: set[int] = set()
    for group in groups:
        left = list(range(len(scores)))
        for condition in group:
            left = apply(condition, left)
        kept.update(left)
    left = sorted(kept)
    for condition in then:
        left = apply(condition, left)
    return left


scores = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
rows = st.lists(st.tuples(scores, st.one_of(st.none(), st.sampled_from("xyz"))), max_size=30)
conditions = st.one_of(
    st.builds(Condition, column=st.just("a.score"), at_least=st.sampled_from([0.25, 0.5])),
    st.builds(Condition, column=st.just("a.score"), at_most=st.sampled_from([0.25, 0.75])),
    st.builds(Condition, column=st.just("a.score"), top_fraction=st.sampled_from([0.1, 0.29, 0.5, 1.0])),
    st.builds(Condition, column=st.just("a.score"), top_count=st.integers(1, 12)),
    st.builds(Condition, column=st.just("a.content"), equals=st.sampled_from("xyz")),
    st.builds(Condition, first_of=st.just("a.content")),
    st.just(Condition(subset=SUBSET)),
)


@given(rows, st.lists(st.lists(conditions, max_size=3), min_size=1, max_size=3), st.lists(conditions, max_size=2))
def test_selection_is_what_the_rules_say(rows, groups: list[list[Condition]], then: list[Condition]):
    candidates = candidates_of(rows)
    selection = apply_selection(candidates, groups, then)
    assert np.flatnonzero(selection.kept).tolist() == plain_reading(candidates, groups, then)
    assert selection.account.num_in == len(rows)
    assert selection.account.num_kept == int(selection.kept.sum())


@pytest.mark.parametrize(("fraction", "count"), [(0.29, 29), (0.15, 15), (0.999, 99), (0.009, 0), (1.0, 100)])
def test_a_fraction_is_exact_and_rounds_down(fraction: float, count: int):
    candidates = candidates_of([(0.5, "x")] * 100)  # nothing but ties
    condition = Condition(column="a.score", top_fraction=fraction)
    assert apply_selection(candidates, [[condition]], []).account.num_kept == count


def test_ties_break_by_the_seed_and_not_by_position():
    first = candidates_of([(0.5, "x")] * 100)
    other = Candidates(first.uids, 0, first.scores, first.subsets, seed=6)
    condition = Condition(column="a.score", top_count=10)
    kept = [np.flatnonzero(apply_selection(one, [[condition]], []).kept).tolist() for one in (first, other)]
    assert kept[0] != kept[1]
    assert kept[0] != list(range(10))


def test_a_bound_keeps_a_stored_value_that_prints_the_same():
    candidates = candidates_of([(0.7, "x"), (0.69999, "x")])
    condition = Condition(column="a.score", at_least=0.7)
    assert apply_selection(candidates, [[condition]], []).kept.tolist() == [True, False]


def test_every_rejection_has_the_reason_of_the_group_where_the_sample_came_furthest():
    candidates = candidates_of([(1.0, "x"), (0.5, "x"), (None, None), (0.0, "y")], num_duplicates=2)
    high, low = Condition(column="a.score", at_least=0.9), Condition(column="a.score", at_least=0.4)
    only_y = Condition(column="a.content", equals="y")
    selection = apply_selection(candidates, [[high], [low, only_y]], [])
    assert selection.kept.tolist() == [True, False, False, False]
    assert selection.account.rejected == {
        "a rejected it: image_broken": 1,
        "a.content = y": 1,
        "a.score >= 0.9": 1,
        "duplicate_uid": 2,
    }
    assert selection.group_sizes == (1, 0)


@pytest.mark.parametrize("column", ["b.score", "a.nothing", "score", "a.reject.x"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(column: str):
    with pytest.raises(ConfigError, match=r"which no score dataset has\n.*a\.score"):
        apply_selection(candidates_of([(1.0, "x")]), [[Condition(column=column, at_least=0)]], [])


@pytest.mark.parametrize(
    "condition", [Condition(column="a.content", at_least=1), Condition(column="a.score", equals="many")]
)
def test_a_condition_that_does_not_fit_its_column_is_refused(condition: Condition):
    with pytest.raises(ConfigError, match="the column is of type"):
        apply_selection(candidates_of([(1.0, "x")]), [[condition]], [])


def test_the_rule_reads_like_a_sentence(tmp_path: Path):
    config = SelectConfig(
        pool=tmp_path,
        scores={"a": tmp_path},
        output=tmp_path,
        keep=(
            (Condition(column="a.score", at_least=0.3, at_most=0.9), Condition(column="a.lang", equals="en")),
            (Condition(subset=SUBSET),),
        ),
        then=(Condition(first_of="a.content"), Condition(column="a.score", top_fraction=0.15)),
    )
    assert describe_rule(config) == (
        "(a.score >= 0.3 and <= 0.9 and a.lang = en) or (in published.npy), "
        "then first of a.content, then a.score in the top 0.15 of them"
    )
