from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_parts import TOWERS

from oqvl_model.configuration_oqvl import TOWER_CONFIGS, OqvlConfig, TimmTowerConfig, check_visual_tokens
from oqvl_shards.errors import ConfigError


def test_a_configuration_comes_back_from_its_file(make_config, tmp_path):
    vision = TimmTowerConfig(image_size=64, feature_stride=16, hidden_size=112, image_std=[0.2, 0.3, 0.4])
    for config in (make_config(), make_config(vision_config=vision, projector_hidden_size=8)):
        config.save_pretrained(tmp_path)
        loaded = OqvlConfig.from_pretrained(tmp_path)
        assert loaded.to_dict() == config.to_dict()
        assert type(loaded.vision_config) is type(config.vision_config)
        assert (loaded.image_mean, loaded.image_std) == (config.image_mean, config.image_std)


def test_the_grid_is_what_the_tower_gives(make_config):
    assert make_config().grid_size == 4
    vision = TimmTowerConfig(image_size=192, feature_stride=32, hidden_size=320)
    assert make_config(vision_config=vision, visual_tokens_per_image=36).grid_size == 6


def test_tying_is_the_decoders_choice(make_config):
    text = make_config().text_config.to_dict()
    assert make_config().tie_word_embeddings
    assert not make_config(text_config=text | {"tie_word_embeddings": False}).tie_word_embeddings


@pytest.mark.parametrize("num_tokens", [0, 2, 25])
def test_numbers_of_visual_tokens_that_cannot_be_are_refused(make_config, num_tokens):
    with pytest.raises(ConfigError, match="visual_tokens_per_image"):
        make_config(visual_tokens_per_image=num_tokens)


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("resnet", "not built here"),
        ("siglip2_vision_model", "fixed resolution"),
        ("dinov3_vit", "rotary positions"),
    ],
)
def test_other_towers_are_refused_by_name(make_config, model_type, reason):
    with pytest.raises(ConfigError, match=f"model_type is '{model_type}'.*{reason}"):
        make_config(vision_config={"model_type": model_type})


def test_the_tower_keeps_a_block_and_takes_squares(make_config):
    with pytest.raises(ConfigError, match="trim_vision_blocks is 3, but the tower has 3 blocks"):
        make_config(trim_vision_blocks=3)
    with pytest.raises(ConfigError, match="expected one number of pixels"):
        make_config(vision_config=TOWERS["dinov2"] | {"image_size": [24, 36]})


@pytest.mark.parametrize(
    ("tower", "mean", "num_prefix_tokens"),
    [
        ("siglip", 0.5, 0),
        ("clip", 0.48145466, 1),
        ("dinov2", 0.485, 1),
        ("dinov2_with_registers", 0.485, 4),
        ("timm", 0.5, 0),
    ],
)
def test_each_tower_has_its_own_pixels_and_tokens(make_config, tower, mean, num_prefix_tokens):
    config = make_config(vision_config=dict(TOWERS[tower]))
    assert config.image_mean[0] == mean
    assert config.num_prefix_tokens == num_prefix_tokens
    own = make_config(vision_config=TOWERS[tower] | {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 1.0, 1.0]})
    assert (own.image_mean, own.image_std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


def test_every_tower_is_tested():
    assert {tower["model_type"] for tower in TOWERS.values()} == set(TOWER_CONFIGS)


@given(st.integers(-3, 800), st.integers(1, 27))
def test_a_map_is_pooled_to_square_numbers_up_to_its_own_size(num_tokens, grid_size):
    if num_tokens in {side * side for side in range(1, grid_size + 1)}:
        check_visual_tokens(num_tokens, grid_size)
    else:
        with pytest.raises(ConfigError, match=rf"{num_tokens}; expected a square number from 1 to {grid_size**2}"):
            check_visual_tokens(num_tokens, grid_size)


def test_siglip_pixels_go_from_minus_one_to_one(make_config):
    config = make_config()
    black, white = ((value - config.image_mean[0]) / config.image_std[0] for value in (0, 1))
    assert (black, white) == (-1, 1)


def test_parts_may_be_given_as_dicts(make_config):
    config = make_config(vision_config={"model_type": "oqvl_timm_tower", "image_size": 64, "feature_stride": 16})
    assert isinstance(config.vision_config, TimmTowerConfig)
    assert config.grid_size == 4
    assert OqvlConfig().text_config.model_type == "qwen2"
