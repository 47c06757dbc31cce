from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from oqvl_filter.scorers.config import EstimateConfig, ScoreConfig, ScorerConfig
from oqvl_filter.scorers.scorer import BaseScorerConfig
from oqvl_shards.errors import ConfigError

MODELS = get_args(get_args(ScorerConfig)[0])
NAMES = [get_args(model.model_fields["name"].annotation)[0] for model in MODELS]


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_scorer_is_one_file_with_its_configuration(model: type[BaseScorerConfig]):
    (name,) = get_args(model.model_fields["name"].annotation)
    assert model.__module__ == f"oqvl_filter.scorers.{name}"
    assert issubclass(model, BaseScorerConfig)
    assert model.build is not BaseScorerConfig.build


@pytest.mark.parametrize("config", [ScoreConfig, EstimateConfig])
def test_the_help_lists_every_scorer(config: type):
    text = config.help_text()
    for name in NAMES:
        assert f"name={name}" in text


def test_names_are_distinct_and_told_apart_by_their_field():
    assert len(set(NAMES)) == len(NAMES) == 10
    with pytest.raises(ConfigError, match=r"expected the scorer's name in a field of its own: scorer\.name=clip"):
        ScoreConfig.from_values({"pool": "p", "output": "o", "scorer": "clip"})
    with pytest.raises(ConfigError, match="scorer"):
        ScoreConfig.from_values({"pool": "p", "output": "o", "scorer": {"name": "clip"}})


def test_reading_configurations_loads_no_model_library():
    code = """
import sys
import oqvl_filter.config
heavy = {"torch", "open_clip", "transformers", "timm", "pyarrow", "PIL"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
