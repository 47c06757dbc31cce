from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from oqvl_filter.config import ClipScorerConfig, Condition, ScoreConfig, SelectConfig
from oqvl_shards.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "exactly one of"),
        ({"column": "a.b"}, "exactly one of"),
        ({"column": "a.b", "at_least": 1, "equals": 2}, "exactly one of"),
        ({"at_least": 1}, "needs a column"),
        ({"column": "a.b", "first_of": "a.b"}, "needs no column"),
        ({"column": "a.b", "top_fraction": 0}, "greater than 0"),
        ({"column": "a.b", "at_leest": 1}, "Extra inputs"),
    ],
)
def test_a_condition_is_of_exactly_one_kind(values: dict, problem: str):
    with pytest.raises(ValidationError, match=problem):
        Condition(**values)


def test_a_threshold_of_zero_is_a_threshold():
    assert Condition(column="a.b", at_least=0).at_least == 0


def test_a_scorer_is_chosen_on_the_command_line():
    overrides = ["pool=p", "output=o", "scorer.name=clip", "scorer.model=local-dir:/somewhere"]
    config = ScoreConfig.from_command_line(None, overrides)
    assert isinstance(config.scorer, ClipScorerConfig)
    with pytest.raises(ConfigError, match="scorer"):
        ScoreConfig.from_command_line(None, ["pool=p", "output=o", "scorer.name=magic"])


def test_paths_leave_no_trace_in_the_lineage():
    here, there = (
        ScoreConfig(pool=Path(p), output=Path(p), scorer=ClipScorerConfig(name="clip", model=f"local-dir:{p}"))
        for p in ("/a", "/b")
    )
    assert here.digest() == there.digest()
    assert "/a" not in str(here.lineage_values())


def test_a_selection_reads_from_toml(tmp_path: Path):
    recipe = tmp_path / "select.toml"
    recipe.write_text(
        """
        pool = "pool"
        output = "subset"
        scores = { rules = "scores/rules", dfn = "scores/dfn" }
        keep = [
            [{ column = "rules.width", at_least = 200 }, { column = "dfn.clip_score", top_fraction = 0.15 }],
            [{ subset = "published.npy" }],
        ]
        then = [{ first_of = "rules.content_sha" }]
        """
    )
    config = SelectConfig.from_toml(recipe, ["scores.mlm=scores/mlm"])
    assert sorted(config.scores) == ["dfn", "mlm", "rules"]
    assert [len(group) for group in config.keep] == [2, 1]
