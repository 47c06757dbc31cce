from __future__ import annotations

from typing import Any

import pytest
import torch

from oqvl_model.configuration_oqvl import TimmTowerConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.vision import SiglipTower, TimmTower, build_tower, timm_network, timm_stage_channels
from oqvl_model.weights import load_timm
from oqvl_shards.errors import ConfigError

LITE0 = "tf_efficientnet_lite0"


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
