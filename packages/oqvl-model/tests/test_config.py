from __future__ import annotations

import pytest

from oqvl_model.config import GenerateConfig, InitConfig
from oqvl_shards.errors import ConfigError

REQUIRED = {"output": "model", "tokenizer": "tokenizer.json"}


def test_the_defaults_are_the_original_model():
    config = InitConfig.from_values(REQUIRED)
    assert (config.vision.kind, config.vision.image_size, config.vision.trim_blocks) == ("siglip", 384, 1)
    assert config.vision.hidden_act == "gelu"
    assert (config.text.hidden_size, config.text.num_layers, config.visual_tokens_per_image) == (1536, 28, 144)


def test_where_the_model_lies_does_not_decide_its_bytes():
    first, second = (InitConfig.from_values(REQUIRED | {"output": output}) for output in ("a", "b"))
    assert first.digest() == second.digest()
    assert first.digest() != InitConfig.from_values(REQUIRED | {"seed": 8}).digest()


def test_fields_are_set_on_the_command_line():
    config = InitConfig.from_values(REQUIRED, ["vision.kind=timm", "vision.feature_stride=32", 'bos_token=""'])
    assert (config.vision.kind, config.vision.feature_stride, config.bos_token) == ("timm", 32, "")


def test_every_mark_needs_an_image():
    asked = {"checkpoint": "model", "prompt": "<image> and <image>"}
    assert len(GenerateConfig.from_values(asked | {"images": ["a.png", "b.png"]}).images) == 2
    with pytest.raises(ConfigError, match="2 <image> marks, but images names 1"):
        GenerateConfig.from_values(asked | {"images": ["a.png"]})
