from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import ScoreConfig, SelectConfig
from oqvl_filter.selection import run as selection_run
from oqvl_filter.selection import set_algebra
from oqvl_filter.selection.budget import divide, fit_budget
from oqvl_filter.selection.expression import And, Everything, Member, Not, Or, Rule, Then
from oqvl_filter.selection.set_algebra import combine, start_counts
from oqvl_filter.subset import Subset
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

Uid = tuple[int, int]


class HeldSubset(Subset):
    """A subset in memory."""

    def __new__(cls, members: set[Uid]) -> HeldSubset:
        subset = super().__new__(cls)
        subset.__dict__["uids"] = np.array(sorted(members), dtype=UID_DTYPE)
        return subset

    def __init__(self, members: set[Uid]) -> None:
        super().__init__((), "0" * 64, None)


def members_of(rule: Rule, sets: dict[str, set[Uid]], universe: set[Uid]) -> set[Uid]:
    """What Python's sets say."""
    match rule:
        case Everything():
            return universe
        case Member(path):
            return sets[path]
        case Not(negated):
            return universe - members_of(negated, sets, universe)
        case Or(items):
            return set.union(*(members_of(item, sets, universe) for item in items))
        case And(items) | Then(items):
            return set.intersection(*(members_of(item, sets, universe) for item in items))
    raise AssertionError(rule)


rules = st.recursive(
    st.sampled_from([Member("a"), Member("b"), Member("c"), Everything()]),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(node, st.lists(inner, min_size=2, max_size=3).map(tuple)) for node in (And, Or, Then)),
    ),
    max_leaves=7,
)
# Few high words, so that many uids share one.
uid_sets = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=25)


@given(rules, uid_sets, uid_sets, uid_sets, st.sampled_from([1, 3, 1000]))
def test_any_rule_over_subsets_is_what_python_sets_say(rule: Rule, a: set[Uid], b: set[Uid], c: set[Uid], block: int):
    sets = {"a": a, "b": b, "c": c}
    subsets = {name: HeldSubset(members) for name, members in sets.items()}
    counts = start_counts(SelectConfig(output=Path("o"), keep="all"), rule, subsets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_algebra, "BLOCK", block)
        kept = [uid for part in combine(rule, subsets, counts) for uid in part.tolist()]
    assert kept == sorted(members_of(rule, sets, a | b | c))
    account = counts.account(len(kept))
    assert account.num_in == len(a | b | c)
    assert account.num_in == account.num_kept + sum(account.rejected.values())


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=3), st.integers(0, 12))
def test_no_division_of_a_budget_is_fairer(table: list[tuple[int, int]], budget: int):
    """Of all ways to spend the budget, the least served source (by weight) gets the most, to within a unit."""
    demands, weights = [demand for demand, _ in table], [float(weight) for _, weight in table]
    shares = divide(budget, demands, weights)
    total = min(budget, sum(demand for demand, weight in table if weight))
    ways = product(*(range(demand + 1 if weight else 1) for demand, weight in table))

    def worst(way) -> float:
        hungry = [n for n, (demand, weight) in enumerate(table) if weight and way[n] < demand]
        return min((way[n] / weights[n] for n in hungry), default=float("inf"))

    best = max(worst(way) for way in ways if sum(way) == total)
    assert sum(shares) == total
    assert worst([share + 1 for share in shares]) >= best or worst(shares) >= best


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_budget_keeps_the_longest_start_that_fits(costs: list[int], budget: int, random):
    order = list(range(len(costs)))
    random.shuffle(order)
    kept = fit_budget(np.array(order), np.zeros(len(costs), dtype=np.int16), np.array(costs), budget, None).tolist()
    assert kept == order[: len(kept)]
    assert sum(costs[row] for row in kept) <= budget
    if len(kept) < len(order):
        assert sum(costs[row] for row in order[: len(kept) + 1]) > budget


@pytest.fixture
def scored(make_pool, plain_pairs, tmp_path: Path) -> Path:
    run.score(ScoreConfig(pool=make_pool([plain_pairs(9)]).path, output=tmp_path / "rules"))
    return tmp_path


def select(scored: Path, name: str, **values):
    config = {"pools": scored / "pool", "scores": {"r": scored / "rules"}, "output": scored / name, **values}
    return selection_run.select(SelectConfig.from_values(config))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prefer": "width", "pairs": 3}, {"prefer": "r.width", "pairs": 3}),
        ({"tokens": 900.0}, {"tokens": 900.0, "token_count": {"column": "r.caption_chars"}}),
        ({"keep": "width>20"}, {"keep": "(r.width > 20)"}),
    ],
)
def test_two_spellings_of_a_selection_are_one_stage(scored: Path, one: dict, other: dict):
    assert select(scored, "s", **one) == select(scored, "s", **other)


def test_the_lineage_names_what_labels_stand_for(scored: Path):
    select(scored, "s", keep="width > 20")
    manifest = open_dataset(scored / "s").manifest
    assert sorted(manifest.lineage.config) == ["config", "scores", "subsets"]
    assert manifest.lineage.config["scores"] == {"r": [open_dataset(scored / "rules").manifest.digest()]}
    assert str(scored) not in manifest.model_dump_json()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"prefer": "caption_sha", "pairs": 3}, r"prefer: r\.caption_sha is of type string, expected numbers"),
        ({"tokens": 9.0, "token_count": {"column": "caption_sha"}}, r"token_count\.column: r\.caption_sha is of type"),
        ({"pairs": 3, "weights": {"other": 1}}, r"weights names \['other'\]"),
        ({"keep": "width > 'wide'"}, r"the column r\.width is of type int32, expected numbers"),
        ({"keep": "widht > 3"}, "did you mean"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_no_output(scored: Path, values: dict, problem: str):
    with pytest.raises(ConfigError) as error:
        select(scored, "s", **values)
    import re

    assert re.search(problem, f"{error.value.message} {error.value.hint}")
    assert not (scored / "s").exists()


def test_a_cache_changes_no_byte(scored: Path):
    select(scored, "plain", keep="width > 20 then one per caption_sha")
    for name in ("cold", "warm"):
        select(scored, name, keep="width > 20 then one per caption_sha", cache=scored / "cache")
        assert (scored / name / "subset.npy").read_bytes() == (scored / "plain" / "subset.npy").read_bytes()
        assert (scored / name / "manifest.json").read_bytes() == (scored / "plain" / "manifest.json").read_bytes()
    assert list((scored / "cache").iterdir())
