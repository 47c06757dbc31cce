"""SigLIP's names: timm's own forward pass, and transformers', against the tower that their tensors become."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SiglipVisionModel

from oqvl_model.conversion.key_map import map_keys
from oqvl_model.conversion.siglip import contrastive_rules, num_blocks, tower_config, tower_rules
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_model.vision import SiglipTower
from oqvl_shards.errors import ConfigError


def stored(state: dict[str, Tensor]) -> dict[str, StoredTensor]:
    return {
        key: StoredTensor(tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor)
        for key, tensor in state.items()
    }


def loaded(state: dict[str, Tensor], num_kept: int, prefix: str = "", **sizes: Any) -> tuple[SiglipTower, Any]:
    tensors = stored(state)
    config = tower_config(tensors, where="here", **sizes)
    tower = SiglipTower(config, num_kept)
    expected = {f"vision.{name}": tuple(tensor.shape) for name, tensor in tower.state_dict().items()}
    keys = map_keys(tensors, [*tower_rules(prefix, num_kept), *contrastive_rules(prefix)], expected, "here")
    tower.load_state_dict({name.removeprefix("vision."): weight.read() for name, weight in keys.weights.items()})
    return tower, keys


@torch.no_grad()
@pytest.mark.parametrize("num_kept", [1, 2, 3])
@pytest.mark.parametrize("prefix", ["", "visual.trunk."])
def test_features_equal_those_of_timm(timm_tower, num_kept, prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in timm_tower.state_dict().items()}
    tower, keys = loaded(state, num_kept, image_size=70, num_heads=2, hidden_act="gelu")
    pixels = torch.randn(2, 3, 70, 70)
    (expected,) = timm_tower.get_intermediate_layers(pixels, n={num_kept - 1})
    torch.testing.assert_close(tower(pixels), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    assert keys.mapped.keys() | keys.unused.keys() == state.keys()
    assert {key.removeprefix(prefix).split(".")[0] for key in keys.unused} <= {"blocks", "norm", "attn_pool"}


@torch.no_grad()
def test_the_exact_gelu_is_what_timm_runs(timm_tower):
    tower, _ = loaded(timm_tower.state_dict(), 2, image_size=70, num_heads=2, hidden_act="gelu_pytorch_tanh")
    pixels = torch.randn(2, 3, 70, 70)
    (expected,) = timm_tower.get_intermediate_layers(pixels, n={1})
    assert not torch.allclose(tower(pixels), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_features_equal_those_of_transformers(make_config, prefix):
    siglip: Any = SiglipVisionModel(make_config().vision_config).eval()
    state = {f"{prefix}{name}": tensor for name, tensor in siglip.state_dict().items()}
    state |= {"text_model.head.bias": torch.ones(2), "logit_scale": torch.ones(1)}
    state[f"{prefix}embeddings.position_ids"] = torch.arange(16)[None]
    tower, keys = loaded(state, 2, image_size=24, num_heads=2, hidden_act="gelu")
    pixels = torch.randn(1, 3, 24, 24)
    expected = siglip(pixels, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(tower(pixels), expected, rtol=1e-5, atol=1e-5)
    assert keys.unused["logit_scale"] == "SigLIP's contrastive loss"
    assert keys.mapped.keys() | keys.unused.keys() == state.keys()


def test_sizes_follow_from_the_tensors(timm_tower):
    tensors = stored(timm_tower.state_dict())
    config = tower_config(tensors, image_size=70, num_heads=2, hidden_act="gelu", where="here")
    assert num_blocks(tensors) == config.num_hidden_layers == 3
    assert (config.hidden_size, config.patch_size, config.intermediate_size) == (32, 14, 119)
    for image_size, num_heads in [(384, 2), (70, 3)]:
        with pytest.raises(ConfigError, match="here: the tower has width 32, patches of 14 pixels and 25 positions"):
            tower_config(tensors, image_size=image_size, num_heads=num_heads, hidden_act="gelu", where="here")
    with pytest.raises(ConfigError, match="here has no SigLIP tower"):
        tower_config({}, image_size=70, num_heads=2, hidden_act="gelu", where="here")
