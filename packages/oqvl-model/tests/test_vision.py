from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_parts import TOWERS, TRANSFORMERS
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from oqvl_model.configuration_oqvl import TimmTowerConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.vision import SiglipTower, TimmTower, build_tower, timm_network, timm_stage_channels
from oqvl_model.weights import load_timm
from oqvl_shards.errors import ConfigError

LITE0 = "tf_efficientnet_lite0"
SMALL_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 99,
}


@pytest.fixture(scope="module")
def network():
    """A whole network whose batch norms have statistics that differ from the defaults."""
    torch.manual_seed(3)
    network = timm_network(LITE0)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
    return network.eval()


@pytest.mark.parametrize(("stride", "channels"), [(16, 112), (32, 320)])
def test_a_stage_gives_a_map_of_its_stride(network, tmp_path, stride, channels):
    assert timm_stage_channels(LITE0, stride) == channels
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    tower = TimmTower(TimmTowerConfig(image_size=96, feature_stride=stride, hidden_size=channels))
    load_timm(tower, tmp_path / "weights.pth")
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = tower(pixels)
        # Use the tower's memory layout, because another layout rounds differently.
        maps = network.forward_intermediates(pixels.to(memory_format=torch.channels_last), intermediates_only=True)
    expected = next(m for m in reversed(maps) if m.shape[-1] == 96 // stride)
    assert torch.equal(features, expected.flatten(2).transpose(1, 2))
    assert features.shape == (2, (96 // stride) ** 2, channels)


def test_a_tower_never_leaves_inference_mode():
    tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
    before = {name: buffer.clone() for name, buffer in tower.named_buffers()}
    assert not tower.training
    tower.train()
    assert not any(module.training for module in tower.modules())
    tower(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(buffer, before[name]) for name, buffer in tower.named_buffers())


def test_the_tower_is_the_configured_one(make_config):
    trimmed, whole = (build_tower(make_config(trim_vision_blocks=number)) for number in (1, 0))
    assert isinstance(trimmed, SiglipTower)
    assert isinstance(whole, SiglipTower)
    assert (len(trimmed.layers), len(whole.layers)) == (2, 3)
    vision = TimmTowerConfig(image_size=64, feature_stride=16, hidden_size=112)
    assert isinstance(build_tower(make_config(vision_config=vision)), TimmTower)


@pytest.fixture(params=TRANSFORMERS)
def whole_and_config(request, make_config):
    """A whole transformer of transformers, its weights far from fresh, and a configuration of a model on it."""
    config = make_config(vision_config=dict(TOWERS[request.param]))
    torch.manual_seed(4)
    tower: Any = build_tower(config)
    whole = tower.source_class(config.vision_config).eval()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return whole, config


@torch.no_grad()
@pytest.mark.parametrize("trim", [0, 1, 2])
def test_a_tower_gives_the_hidden_state_of_its_layer(whole_and_config, tmp_path, trim):
    whole, config = whole_and_config
    config.trim_vision_blocks = trim
    whole.save_pretrained(tmp_path)
    tower: Any = build_tower(config)
    tower.load_directory(tmp_path)
    pixels = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    hidden = whole(pixels, output_hidden_states=True).hidden_states[-1 - trim]
    assert hidden.shape[1] == 16 + config.num_prefix_tokens
    assert torch.equal(tower(pixels), hidden[:, config.num_prefix_tokens :])
    assert not tower.train().training


def test_every_parameter_of_a_tower_has_a_part_in_its_features(whole_and_config):
    _, config = whole_and_config
    tower = build_tower(config).requires_grad_()
    tower(torch.randn(2, 3, 24, 24)).pow(2).sum().backward()
    assert [name for name, parameter in tower.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("tower", "pair_class"),
    [
        ("siglip", lambda vision: SiglipModel(SiglipConfig(vision_config=vision, text_config=SMALL_TEXT))),
        ("clip", lambda vision: CLIPModel(CLIPConfig(vision_config=vision, text_config=SMALL_TEXT))),
    ],
)
def test_a_tower_comes_out_of_a_pair_with_its_text_encoder(make_config, tmp_path, tower, pair_class):
    config = make_config(vision_config=dict(TOWERS[tower]))
    pair = pair_class(config.vision_config.to_dict())
    pair.save_pretrained(tmp_path)
    built: Any = build_tower(config)
    built.load_directory(tmp_path)
    assert torch.equal(built.layers[1].mlp.fc1.weight, pair.vision_model.encoder.layers[1].mlp.fc1.weight)
    weight = pair.vision_model.embeddings.position_embedding.weight
    assert torch.equal(built.embeddings.position_embedding.weight, weight)


def test_a_directory_that_lacks_blocks_is_refused(make_config, tmp_path):
    config = make_config(vision_config=TOWERS["clip"] | {"num_hidden_layers": 2})
    short: Any = build_tower(config)
    short.source_class(config.vision_config).save_pretrained(tmp_path)
    whole = make_config(vision_config=dict(TOWERS["clip"]))
    whole.vision_config.save_pretrained(tmp_path)
    tower: Any = build_tower(whole)
    with pytest.raises(ConfigError, match="lacks 16 weights, for example"):
        tower.load_directory(tmp_path)


def test_networks_and_stages_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="cannot build a network named 'nothing'"):
        timm_network("nothing")
    with pytest.raises(ConfigError, match="expected 5"):
        TimmTower(TimmTowerConfig(feature_stride=5))
    with pytest.raises(ConfigError, match="112 channels, expected hidden_size=7"):
        TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=7))
    with pytest.raises(ConfigError, match="expected 5"):
        timm_stage_channels(LITE0, 5)


def test_a_model_with_a_timm_tower_comes_back_from_its_files(make_config, tmp_path):
    vision = TimmTowerConfig(image_size=64, feature_stride=16, hidden_size=112, image_mean=[0.4, 0.5, 0.6])
    model: Any = OqvlForConditionalGeneration(make_config(vision_config=vision))
    with torch.no_grad():
        model.vision.network.bn1.running_mean.fill_(0.25)
    model.save_pretrained(tmp_path)
    loaded = OqvlForConditionalGeneration.from_pretrained(tmp_path)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.config.image_mean == (0.4, 0.5, 0.6)
    assert loaded.config.grid_size == 4
    pixels = torch.randn(1, 3, 64, 64)
    model.eval()
    assert torch.equal(loaded.get_image_features(pixels), model.get_image_features(pixels))
