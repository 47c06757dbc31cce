from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from oqvl_model.config import InitConfig, TextInit, VisionInit
from oqvl_model.initialization import build_model


def test_parts_are_taken_from_model_directories(tmp_path, tokenizer_json):
    torch.manual_seed(1)
    siglip: Any = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=24,
            patch_size=6,
        )
    )
    qwen = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=290,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )
    siglip.save_pretrained(tmp_path / "siglip")
    qwen.save_pretrained(tmp_path / "qwen")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    config = InitConfig(
        output=tmp_path / "model",
        tokenizer=tmp_path / "tokenizer.json",
        vision=VisionInit(directory=tmp_path / "siglip"),
        text=TextInit(directory=tmp_path / "qwen"),
        visual_tokens_per_image=4,
    )
    built, processor = build_model(config)
    model: Any = built
    assert processor.config.image_size == 24
    assert model.config.vision_config.hidden_act == "gelu"
    for layer, source in zip(model.vision.layers, siglip.encoder.layers, strict=False):
        assert torch.equal(layer.mlp.fc1.weight, source.mlp.fc1.weight)
    position_embedding = model.vision.embeddings.position_embedding
    assert torch.equal(position_embedding.weight, siglip.embeddings.position_embedding.weight)
    embedding = model.text.model.embed_tokens.weight
    assert embedding.shape[0] == 320
    assert torch.equal(embedding[:290], qwen.model.embed_tokens.weight)
    assert torch.equal(model.text.model.layers[1].mlp.up_proj.weight, qwen.model.layers[1].mlp.up_proj.weight)


def test_a_timm_tower_brings_its_statistics(tmp_path, tokenizer_json):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    config = InitConfig(
        output=tmp_path / "model",
        tokenizer=tmp_path / "tokenizer.json",
        vision=VisionInit(kind="timm", image_size=64, feature_stride=16, image_mean=(0.4, 0.5, 0.6)),
        text=TextInit(hidden_size=32, intermediate_size=48, num_layers=1, num_attention_heads=4, num_key_value_heads=2),
        visual_tokens_per_image=16,
        bos_token="",
    )
    model, processor = build_model(config)
    assert model.config.vision_config.hidden_size == 112
    assert (processor.config.image_mean, processor.config.image_size) == ((0.4, 0.5, 0.6), 64)
    assert model.config.image_mean == (0.4, 0.5, 0.6)
    assert processor.bos_token_id is None
    assert model.generation_config.bos_token_id is None
