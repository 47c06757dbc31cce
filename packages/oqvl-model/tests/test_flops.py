from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_parts import DECODERS, TOWERS, TRANSFORMERS, WINDOWED
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, SiglipVisionConfig

from oqvl_model.configuration_oqvl import OqvlConfig, TimmTowerConfig
from oqvl_model.flops import forward_flops, training_flops, vision_flops
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.trainee import PackedTrainee
from oqvl_model.vision import TimmTower

DOCUMENTS = [[None, "\na red apple"], ["a blue car"], [None, "\nwhat is this?", None, "a green tree"], ["x"]]


def causal_attention_flops(query, key, value, *args, out_val=None, **kwargs):
    (rows, heads, length, width), is_causal = query.shape, args[1] if len(args) > 1 else False
    pairs = length * (length + 1) // 2 if is_causal else length * key.shape[2]
    return 4 * rows * heads * width * pairs


def causal_attention_backward_flops(grad, query, key, value, out, logsumexp, dropout, is_causal, **kwargs):
    return 2 * causal_attention_flops(query, key, value, dropout, is_causal)


for formula in (causal_attention_flops, causal_attention_backward_flops):
    setattr(formula, "_get_raw", True)  # noqa: B010


@pytest.mark.parametrize("trainable", [("projector",), ("projector", "text"), ("vision", "projector", "text")])
def test_the_flops_are_those_that_torch_counts(checkpoint, packed, make_pack, trainable):
    trainee = PackedTrainee(checkpoint, packed, trainable=trainable)
    batch = trainee.collate([make_pack(DOCUMENTS), make_pack([["a blue car " * 12]])])
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    mapping = {
        attention: causal_attention_flops,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: causal_attention_backward_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        trainee.loss(trainee.model, batch)[0].backward()
    assert counter.get_flop_counts()["Global"][attention] > 0
    assert trainee.num_flops(batch) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("decoder", "tower"),
    [(decoder, "siglip") for decoder in DECODERS if decoder not in WINDOWED]
    + [("qwen2", tower) for tower in TRANSFORMERS if tower != "siglip"],
)
def test_the_flops_of_every_family_are_those_that_torch_counts(make_config, decoder, tower):
    config = make_config(text_config=dict(DECODERS[decoder]), vision_config=dict(TOWERS[tower]))
    model: Any = OqvlForConditionalGeneration(config)
    ids = torch.tensor([[1, *[config.image_token_id] * 4, 5, 6, 7]])
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: causal_attention_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        model(input_ids=ids, pixel_values=torch.zeros(1, 3, 24, 24))
    flops = forward_flops(config, document_lengths=[8], num_images=1, num_logits=8)
    assert flops.total == counter.get_total_flops()


@pytest.mark.parametrize(
    ("decoder", "query_width", "key_width", "pairs"),
    [
        # A document of 7 tokens has 28 pairs of a token and one it attends to, and 25 within a window of 5.
        ("qwen2", 32, 16, 28 + 28),
        ("qwen2 with windows", 32, 16, 28 + 25),
        ("qwen3", 64, 32, 28 + 28),
        ("llama", 32, 16, 28 + 28),
        ("smollm3", 32, 16, 28 + 28),
        ("mistral", 32, 16, 25 + 25),
        ("gemma", 64, 16, 28 + 28),
        ("gemma2", 64, 32, 25 + 28),
        ("gemma3_text", 64, 32, 25 + 28),
    ],
)
def test_the_flops_of_every_family_are_those_of_a_hand_count(make_config, decoder, query_width, key_width, pairs):
    config = make_config(text_config=dict(DECODERS[decoder]))
    flops = forward_flops(config, document_lengths=[7, 1], num_images=0, num_logits=3)
    # Two layers: queries and output, keys and values, three matrices of the MLP; 8 tokens.
    assert flops.decoder == 2 * 2 * 8 * (2 * 32 * query_width + 2 * 32 * key_width + 3 * 32 * 48)
    # Scores and weighted values, in both layers; the document of 1 token has one pair in each.
    assert flops.attention == 2 * 2 * query_width * (pairs + 2)
    assert flops.head == 2 * 32 * 320 * 3


@pytest.mark.parametrize("trains", [False, True])
def test_a_timm_tower_is_counted_by_running_it(make_config, trains):
    vision = TimmTowerConfig(image_size=64, feature_stride=16, hidden_size=112)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(trains):
        features = TimmTower(vision)(torch.randn(1, 3, 64, 64))
        if trains:
            features.sum().backward()
    assert vision_flops(make_config(vision_config=vision), trains=trains) == counter.get_total_flops() > 0


def original(visual_tokens_per_image):
    """The sizes of Open-Qwen2VL: SigLIP-SO400M at 384 pixels and Qwen2.5-1.5B."""
    return OqvlConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=384,
            patch_size=14,
        ),
        text_config=Qwen2Config(
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        ),
        visual_tokens_per_image=visual_tokens_per_image,
    )


def test_the_original_model_takes_the_published_work():
    config = original(144)
    assert config.grid_size == 27
    # 26 blocks of SigLIP-SO400M: 0.642 TFLOP per image.
    assert vision_flops(config) == pytest.approx(0.642e12, rel=0.005)
    # A pack of 4096 tokens has 23.8 pairs of 172.4 tokens and 675 targets: 11.88 GFLOP per token.
    flops = training_flops(
        config, document_lengths=[172] * 24, num_images=24, num_logits=675, trainable=("projector", "text")
    )
    assert flops.total / (172 * 24) == pytest.approx(11.88e9, rel=0.02)


def test_parts_add_up():
    flops = forward_flops(original(729), document_lengths=[800, 1], num_images=1, num_logits=3)
    assert flops.total == flops.vision + flops.projector + flops.decoder + flops.attention + flops.head
