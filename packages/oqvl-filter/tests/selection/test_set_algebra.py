from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.config import SelectConfig
from oqvl_filter.selection import set_algebra
from oqvl_filter.selection.expression import parse_rule
from oqvl_filter.selection.set_algebra import combine, start_counts
from oqvl_filter.subset import open_subset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE

# Few high words, so that many uids share one, and low words in any order below it.
sets = st.lists(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=40), min_size=2, max_size=3)
RULES = {
    "uid in 'a' or uid in 'b'": lambda a, b: a | b,
    "uid in 'a' and uid in 'b'": lambda a, b: a & b,
    "uid in 'a' and not uid in 'b'": lambda a, b: a - b,
    "not (uid in 'a' and uid in 'b') then all": lambda a, b: a ^ b,
}


@pytest.mark.parametrize("text", RULES)
@given(sets=sets, block=st.sampled_from([1, 4, 1000]))
def test_rules_over_subsets_are_set_algebra(tmp_path_factory, text: str, sets, block: int):
    directory = tmp_path_factory.mktemp("sets")
    for name, members in zip("abc", sets, strict=False):
        np.save(directory / f"{name}.npy", np.array(sorted(members), dtype=UID_DTYPE))
    subsets = {name: open_subset(directory / f"{name}.npy") for name in "ab"}
    rule = parse_rule(text)
    counts = start_counts(SelectConfig(output=Path("o"), keep=text), rule, subsets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_algebra, "BLOCK", block)
        found = [uid for part in combine(rule, subsets, counts) for uid in part.tolist()]
    assert found == sorted(RULES[text](*sets[:2]))
    account = counts.account(len(found))
    assert account.num_in == len(sets[0] | sets[1])
    assert {one.text: one.num_true for one in counts.conditions()} == {
        'uid in "a"': len(sets[0]),
        'uid in "b"': len(sets[1]),
    }


@pytest.mark.parametrize(
    ("keep", "more"), [("all", {}), ("uid in 'a'", {"pairs": 3}), ("uid in 'a'", {"quotas": {"x": 1}})]
)
def test_what_needs_scores_is_refused_without_them(tmp_path: Path, keep: str, more: dict):
    np.save(tmp_path / "a.npy", np.zeros(1, dtype=UID_DTYPE))
    subsets = {"a": open_subset(tmp_path / "a.npy")} if "uid" in keep else {}
    with pytest.raises(ConfigError, match="no scores"):
        start_counts(SelectConfig(output=Path("o"), keep=keep, **more), parse_rule(keep), subsets)
