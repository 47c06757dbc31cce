import pytest

from oqvl_eval.config import EvalConfig, PromptConfig
from oqvl_shards.errors import ConfigError

REQUIRED = {"benchmark": "b", "checkpoint": "c", "output": "o", "answerer": "module:Name"}


def test_a_blank_reference_needs_likelihoods_under_pictures():
    assert EvalConfig.from_values({**REQUIRED, "mode": "likelihood", "score_blank": True}).score_blank
    for fields in ({"mode": "generate"}, {"mode": "likelihood", "images": "blank"}):
        with pytest.raises(ConfigError, match="score_blank needs mode=likelihood"):
            EvalConfig.from_values({**REQUIRED, **fields, "score_blank": True})


def test_only_what_decides_the_answers_is_in_the_lineage():
    base = EvalConfig.from_values(REQUIRED).digest()
    assert EvalConfig.from_values({**REQUIRED, "output": "elsewhere", "benchmark": "moved"}).digest() == base
    assert EvalConfig.from_values({**REQUIRED, "images": "shuffled"}).digest() != base
    assert EvalConfig.from_values({**REQUIRED, "max_new_tokens": 17}).digest() != base


@pytest.mark.parametrize("field", sorted(PromptConfig.model_fields.keys() - {"style"}))
def test_a_line_break_in_a_prompt_needs_quotes(field):
    with pytest.raises(ConfigError, match="has a backslash"):
        EvalConfig.from_values(REQUIRED, [f"prompt.{field}=one\\ntwo"])
    config = EvalConfig.from_values(REQUIRED, [f'prompt.{field}="one\\ntwo"'])
    assert getattr(config.prompt, field) == "one\ntwo"
