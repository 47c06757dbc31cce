from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_model.config import GenerateConfig, InitConfig, TextInit, VisionInit
from oqvl_shards.errors import ConfigError

REQUIRED = {"output": "model", "tokenizer": "tokenizer.json"}


def test_the_defaults_are_the_original_model():
    config = InitConfig.from_values(REQUIRED)
    assert (config.vision.kind, config.vision.image_size, config.vision.trim_blocks) == ("siglip", 384, 1)
    assert config.vision.hidden_act == "gelu"
    assert (config.text.hidden_size, config.text.num_layers, config.visual_tokens_per_image) == (1536, 28, 144)


def test_the_output_path_does_not_decide_the_bytes():
    first, second = (InitConfig.from_values(REQUIRED | {"output": output}) for output in ("a", "b"))
    assert first.digest() == second.digest()
    assert first.digest() != InitConfig.from_values(REQUIRED | {"seed": 8}).digest()


def test_fields_are_set_on_the_command_line():
    config = InitConfig.from_values(REQUIRED, ["vision.kind=timm", "vision.feature_stride=32", 'bos_token=""'])
    assert (config.vision.kind, config.vision.feature_stride, config.bos_token) == ("timm", 32, "")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("text.num_attention_heads=1", r"num_attention_heads=1 is not a multiple of num_key_value_heads=2"),
        ("text.num_attention_heads=10", r"hidden_size=1536 is not a multiple of 20: each of the 10 attention heads"),
        ("text.hidden_size=12", r"hidden_size=12 is not a multiple of 24: each of the 12 attention heads"),
        ("vision.num_attention_heads=7", r"hidden_size=1152 is not a multiple of num_attention_heads=7"),
    ],
)
def test_heads_that_do_not_fit_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        InitConfig.from_values(REQUIRED, [override])


def test_a_directory_and_a_timm_network_exclude_each_other():
    with pytest.raises(ConfigError, match="kind=timm takes a network's state dict"):
        InitConfig.from_values(REQUIRED, ["vision.kind=timm", "vision.directory=siglip"])


def test_heads_of_a_model_directory_are_its_own():
    assert TextInit(directory="qwen", num_attention_heads=1).num_attention_heads == 1
    assert VisionInit(directory="siglip", num_attention_heads=7).num_attention_heads == 7


def test_a_single_image_is_a_list_of_one():
    assert GenerateConfig.from_values({"checkpoint": "model"}, ["images=a.jpg"]).images == (Path("a.jpg"),)


def test_every_mark_needs_an_image():
    asked = {"checkpoint": "model", "prompt": "<image> and <image>"}
    assert len(GenerateConfig.from_values(asked | {"images": ["a.png", "b.png"]}).images) == 2
    with pytest.raises(ConfigError, match="2 <image> marks, but images has 1"):
        GenerateConfig.from_values(asked | {"images": ["a.png"]})


@pytest.mark.parametrize(
    ("config_class", "values", "key"),
    [
        (InitConfig, REQUIRED, "system_prompt"),
        (GenerateConfig, {"checkpoint": "model"}, "prompt"),
    ],
)
def test_a_line_break_in_prose_needs_quotes(config_class, values, key):
    with pytest.raises(ConfigError, match="has a backslash"):
        config_class.from_values(values, [f"{key}=one\\ntwo"])
    assert getattr(config_class.from_values(values, [f'{key}="one\\ntwo"']), key) == "one\ntwo"
