"""The true sizes on the meta device, where nothing is allocated: parts, keys and counts of the published model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import timm
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.conversion.key_map import map_keys
from oqvl_model.conversion.model_directory import expected_shapes
from oqvl_model.conversion.open_qwen2vl import _rules
from oqvl_model.conversion.siglip import tower_config
from oqvl_model.conversion.source_model import SourceModel
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration

NUM_PARAMETERS = {"vision": 397_745_440, "projector": 4_131_840, "text": 1_543_714_304}


@pytest.fixture(scope="module")
def published() -> dict[str, StoredTensor]:
    """Keys and shapes of the released checkpoint and of timm's tower."""
    qwen = Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        tower = timm.create_model("vit_so400m_patch14_siglip_384", num_classes=0)
        state = {f"vision_directory.{name}": tensor for name, tensor in tower.state_dict().items()}
        decoder: Any = Qwen2ForCausalLM(qwen)
    state |= {f"model.llm_backbone.llm.{name}": tensor for name, tensor in decoder.state_dict().items()}
    for index, inputs in [(0, 1152), (2, 1536)]:
        state[f"model.projector.mlp_projector.{index}.weight"] = torch.empty(1536, inputs, device="meta")
        state[f"model.projector.mlp_projector.{index}.bias"] = torch.empty(1536, device="meta")
    return {
        key: StoredTensor(tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor)
        for key, tensor in state.items()
    }


def test_the_published_model_has_the_published_parts(published: dict[str, StoredTensor], processor: Any):
    vision = tower_config(
        {key: tensor for key, tensor in published.items() if key.startswith("vision_directory.")},
        image_size=384,
        num_heads=16,
        hidden_act="gelu",
        where="timm",
    )
    text = Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    config = OqvlConfig(vision_config=vision, text_config=text, image_token_id=151668, visual_tokens_per_image=144)
    rules = _rules(vision, text)
    shapes = expected_shapes(SourceModel("open-qwen2vl", published, rules, config, processor))
    keys = map_keys(published, rules, shapes, "the published checkpoint")
    assert keys.weights.keys() == shapes.keys()
    assert keys.mapped.keys() | keys.unused.keys() == published.keys()
    counted = Counter()
    for name, shape in shapes.items():
        counted[name.split(".")[0]] += torch.Size(shape).numel()
    assert counted == NUM_PARAMETERS
    assert sum(counted.values()) == 1_945_591_584
    assert config.grid_size == 27
    with torch.device("meta"):
        model: Any = OqvlForConditionalGeneration(config)
        model.tie_weights()
    assert model.num_parameters() == 1_945_591_584
