from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.config import ImportPromptsConfig
from oqvl_filter.importers.prompts import read_checkout
from oqvl_filter.scorers.judges.prompt_set import PromptSet
from oqvl_shards.errors import ConfigError

# Its words are made up; its form is that of the real scripts: a template, criteria by name (one of them misspelt), and
# a dictionary inside a function.
SCRIPT = '''
raise SystemExit("this must never run")
TEMPLATE = """Caption: {caption}

{criteria} More is a higher {aspect}. At most 100."""
criteria_image_text_matching = "Do the two agree? {not a field}"
criteria_object_detail_fulfillment = ("Are the objects told "
                                      "in detail?")
criteria_cation_text_quality = "Is it well written?"

def main(args):
    metrics = {
        "image_text_matching": criteria_image_text_matching,
        "object_detail_fulfillment": criteria_object_detail_fulfillment,
        "caption_text_quality": criteria_cation_text_quality,
        "semantic_understanding": """What does it add?""",
    }
    print(f"{args} semantic understanding {metrics}", {**metrics})
'''
PROMPTS = {
    "itm": "Caption: a cat\n\nDo the two agree? {not a field} More is a higher image text matching. At most 100.",
    "odf": "Caption: a cat\n\nAre the objects told in detail? More is a higher object detail fulfillment. At most 100.",
    "ctq": "Caption: a cat\n\nIs it well written? More is a higher caption text quality. At most 100.",
    "su": "Caption: a cat\n\nWhat does it add? More is a higher semantic understanding. At most 100.",
}


def test_prompts_are_read_and_never_run(tmp_path: Path):
    (tmp_path / "scoring.py").write_text(SCRIPT)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "other.py").write_text('A = {"semantic_understanding": "{caption} {criteria}"}')
    report = run.import_prompts(ImportPromptsConfig(source=tmp_path, output=tmp_path / "own.toml"))
    prompts = PromptSet.load(str(tmp_path / "own.toml"))
    assert report.prompts == prompts.prompts
    assert prompts.name == "mlm_filter"
    assert {metric: prompts.ask(metric, "a cat") for metric in prompts.prompts} == PROMPTS
    assert "su" in report.table()


def test_scripts_that_differ_are_not_mixed(tmp_path: Path):
    (tmp_path / "a.py").write_text(SCRIPT)
    (tmp_path / "b.py").write_text(SCRIPT)
    assert read_checkout(tmp_path, "own").ask("su", "a cat") == PROMPTS["su"]
    (tmp_path / "b.py").write_text(SCRIPT.replace("At most 100", "100 at most"))
    with pytest.raises(ConfigError, match=r"the prompts of 2 scripts differ: .*a\.py, .*b\.py"):
        read_checkout(tmp_path, "own")
    assert "100 at most" in read_checkout(tmp_path / "b.py", "own").ask("su", "a cat")


@pytest.mark.parametrize(
    "changed",
    [
        SCRIPT.replace("{criteria}", "{criterion}"),
        SCRIPT.replace("More is", "{more} is"),
        SCRIPT.replace('"caption_text_quality"', '"caption_quality"'),
        SCRIPT.replace('"""What does it add?"""', "args"),
        SCRIPT + "\nOTHER = '{caption} {criteria}'",
    ],
)
def test_another_program_holds_no_prompts(tmp_path: Path, changed: str):
    (tmp_path / "scoring.py").write_text(changed)
    with pytest.raises(ConfigError, match="holds no prompts"):
        read_checkout(tmp_path / "scoring.py", "own")


def test_what_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no file"):
        read_checkout(tmp_path / "none.py", "own")
    (tmp_path / "broken.py").write_text("def (")
    with pytest.raises(ConfigError, match="cannot be parsed as Python"):
        read_checkout(tmp_path / "broken.py", "own")
