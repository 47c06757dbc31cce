from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.config import ImportPromptsConfig
from oqvl_filter.judges.prompt_import import read_checkout
from oqvl_filter.judges.prompt_set import PromptSet
from oqvl_shards.errors import ConfigError

# Made up; what the real scripts share with it: they name the metric, say 100, and have one place for the caption.
SCRIPT = '''
raise SystemExit("this must never run")
QUESTIONS = {
    "image_text_matching": "Caption: {}\\n"
                           "Give the Image-Text Matching of the two, at most 100.",
    "object_detail_fulfillment": "Caption: {text}. Give its Object Detail Fulfillment, at most 100.",
}
def ask(caption):
    return f"Caption: {caption}. Give its Caption Text Quality, at most 100."
semantic = """Caption: {}
Give its Semantic Understanding, at most 100."""
log = "semantic understanding of {} done"
'''


def test_prompts_are_read_and_never_run(tmp_path: Path):
    (tmp_path / "scoring.py").write_text(SCRIPT)
    (tmp_path / "broken.py").write_text("def (")
    report = run.import_prompts(ImportPromptsConfig(source=tmp_path, output=tmp_path / "own.toml"))
    prompts = PromptSet.load(str(tmp_path / "own.toml"))
    assert report.prompts == prompts.prompts
    assert prompts.name == "mlm_filter"
    assert prompts.ask("itm", "a cat") == "Caption: a cat\nGive the Image-Text Matching of the two, at most 100."
    assert prompts.ask("odf", "a cat") == "Caption: a cat. Give its Object Detail Fulfillment, at most 100."
    assert prompts.ask("ctq", "a cat") == "Caption: a cat. Give its Caption Text Quality, at most 100."
    assert prompts.ask("su", "a cat") == "Caption: a cat\nGive its Semantic Understanding, at most 100."
    assert "su" in report.table()


def test_what_is_missing_is_named(tmp_path: Path):
    (tmp_path / "scoring.py").write_text('A = "Semantic Understanding of {} up to 100"')
    with pytest.raises(ConfigError, match=r"prompts for \['su'\], none for \['itm', 'odf', 'ctq'\]"):
        read_checkout(tmp_path / "scoring.py", "own")
    with pytest.raises(ConfigError, match="there is no file"):
        read_checkout(tmp_path / "none.py", "own")
    (tmp_path / "broken.py").write_text("def (")
    with pytest.raises(ConfigError, match="is not Python"):
        read_checkout(tmp_path / "broken.py", "own")
