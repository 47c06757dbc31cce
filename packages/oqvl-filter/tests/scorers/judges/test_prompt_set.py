from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.scorers.judges.prompt_set import PromptSet, write_prompt_set
from oqvl_shards.errors import ConfigError


@pytest.mark.parametrize(("name", "max_score"), [("general", 100), ("digit", 9)])
def test_the_shipped_sets_ask_for_all_four_metrics_on_their_scale(name: str, max_score: int):
    prompts = PromptSet.load(name)
    assert (prompts.name, prompts.max_score) == (name, max_score)
    assert list(prompts.prompts) == ["itm", "odf", "ctq", "su"]
    for metric in prompts.prompts:
        asked = prompts.ask(metric, "a {dog} on a mat")
        assert "<caption>a {dog} on a mat</caption>" in asked
        assert asked.endswith(f"whole number from 0 to {max_score} and nothing else.")
        assert f" {max_score}: " in asked


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=80), min_size=1))
def test_a_set_that_is_written_reads_the_same(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("prompts") / "own.toml"
    prompts = PromptSet(name='own "set"', prompts={metric: text + "{caption}" for metric, text in texts.items()})
    write_prompt_set(prompts, path)
    assert PromptSet.load(str(path)) == prompts


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('name = "x"\n[prompts]\nitm = "no place for it"', "has no {caption}"),
        ('name = "x"\n[prompts]\n"I T M" = "{caption}"', "expected lower-case"),
        ('name = "x"\n[prompts]\n', "at least 1 item"),
        ("name = ", "is not a prompt set"),
    ],
)
def test_what_is_no_prompt_set_is_refused(tmp_path: Path, content: str, problem: str):
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        PromptSet.load(str(path))


def test_a_set_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no prompt set"):
        PromptSet.load(str(tmp_path / "none.toml"))
