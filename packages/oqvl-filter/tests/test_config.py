from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.config import (
    ClipScorerConfig,
    DedupConfig,
    ImportPromptsConfig,
    PageConfig,
    ScoreConfig,
    SelectConfig,
)
from oqvl_shards.errors import ConfigError


def test_a_scorer_is_chosen_on_the_command_line():
    overrides = ["pool=p", "output=o", "scorer.name=clip", "scorer.model=local-dir:/somewhere"]
    config = ScoreConfig.from_command_line(None, overrides)
    assert isinstance(config.scorer, ClipScorerConfig)
    with pytest.raises(ConfigError, match="scorer"):
        ScoreConfig.from_command_line(None, ["pool=p", "output=o", "scorer.name=magic"])
    with pytest.raises(ConfigError, match=r"scorer\.name=clip"):
        ScoreConfig.from_command_line(None, ["pool=p", "output=o", "scorer=clip"])


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
        pools = ["a", "b"]
        output = "subset"
        scores = { rules = ["scores/a", "scores/b"], dfn = "scores/dfn" }
        keep = "rules.width >= 200 and dfn in top(15%)"
        tokens = 5e9
        weights = { a = 2, b = 1.5 }
        """
    )
    config = SelectConfig.from_toml(recipe, ["scores.mlm=scores/mlm", "keep=width >= 200 or uid in 'a.npy'"])
    assert {label: len(paths) for label, paths in config.scores.items()} == {"rules": 2, "dfn": 1, "mlm": 1}
    assert config.keep == "width >= 200 or uid in 'a.npy'"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pairs": 3, "tokens": 5.0}, "one budget"),
        ({"weights": {"a": 1.0}}, "weights divide a budget"),
        ({"quotas": {"a": -1}}, "from 0 up"),
        ({"keep": [["a"]]}, "string"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(values: dict, problem: str):
    with pytest.raises(ConfigError, match=problem):
        SelectConfig.from_values({"output": "o", **values})


def test_a_single_name_or_path_need_not_stand_in_a_list():
    report = PageConfig.from_command_line(None, ["pools=a", "scores.x=b", "output=o.html", "columns=width"])
    assert (report.pools, report.scores, report.columns) == ((Path("a"),), {"x": (Path("b"),)}, ("width",))


@pytest.mark.parametrize("field", ["scores", "against"])
def test_a_path_without_its_label_is_told_how_to_get_one(field: str):
    with pytest.raises(
        ConfigError, match=rf"{field}: expected a label of your choice for every path: {field}\.LABEL=P"
    ):
        DedupConfig.from_values({"scores": {"x": "s"}}, ["method=exact", "output=o", f"{field}=path"])


def test_a_file_that_is_no_page_or_prompt_set_is_not_written_over():
    PageConfig.from_command_line(None, ["scores.a=a", "output=page.html"])
    ImportPromptsConfig.from_command_line(None, ["source=a", "output=own.toml"])
    for output in ("pool/00000.tar", "pool/manifest.json", "pool"):
        with pytest.raises(ConfigError, match=r"output: .*\.html"):
            PageConfig.from_command_line(None, ["scores.a=a", f"output={output}"])
        with pytest.raises(ConfigError, match=r"output: .*\.toml"):
            ImportPromptsConfig.from_command_line(None, ["source=a", f"output={output}"])
