from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tiny_parts import DECODERS, TOWERS, TRANSFORMERS
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from oqvl_model.config import InitConfig, TextInit, VisionInit
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.decoder import build_decoder, decoder_config
from oqvl_model.initialization import build_model
from oqvl_model.vision import build_tower
from oqvl_shards.errors import ConfigError


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


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in ("qwen2", "gemma2")])
def test_a_decoder_of_every_family_is_taken_from_its_directory(tmp_path, tokenizer_json, name):
    torch.manual_seed(1)
    source: Any = build_decoder(decoder_config(DECODERS[name] | {"vocab_size": 290}))
    source.save_pretrained(tmp_path / "text")
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    config = InitConfig(
        output=tmp_path / "model",
        tokenizer=tmp_path / "tokenizer.json",
        vision=VisionInit(
            image_size=24, patch_size=6, hidden_size=16, intermediate_size=24, num_layers=2, num_attention_heads=2
        ),
        text=TextInit(directory=tmp_path / "text"),
        visual_tokens_per_image=4,
    )
    model: Any = build_model(config)[0]
    assert str(tmp_path) not in model.config.to_json_string()
    assert model.config.text_config.model_type == DECODERS[name]["model_type"]
    table = model.get_input_embeddings().weight
    assert table.shape == (320, 32)
    assert torch.equal(table[:290], source.get_input_embeddings().weight)
    assert torch.equal(model.text.base_model.layers[1].mlp.up_proj.weight, source.model.layers[1].mlp.up_proj.weight)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("has_own_pixels", [False, True])
def test_a_tower_of_every_family_is_taken_from_its_directory(
    tmp_path, tokenizer_json, make_config, name, has_own_pixels
):
    torch.manual_seed(1)
    expected = make_config(vision_config=dict(TOWERS[name]))
    tower: Any = build_tower(expected)
    source: Any = tower.source_class(expected.vision_config)
    source.save_pretrained(tmp_path / "vision")
    if has_own_pixels:
        values = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
        (tmp_path / "vision" / "preprocessor_config.json").write_text(json.dumps(values))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    config = InitConfig(
        output=tmp_path / "model",
        tokenizer=tmp_path / "tokenizer.json",
        vision=VisionInit(directory=tmp_path / "vision", trim_blocks=2),
        text=TextInit(hidden_size=32, intermediate_size=48, num_layers=1, num_attention_heads=4, num_key_value_heads=2),
        visual_tokens_per_image=4,
    )
    built, processor = build_model(config)
    model: Any = built
    assert str(tmp_path) not in model.config.to_json_string()
    assert model.config.vision_config.model_type == TOWERS[name]["model_type"]
    assert len(model.vision.layers) == 1
    assert processor.config.image_mean == ((0.1, 0.2, 0.3) if has_own_pixels else expected.image_mean)
    model.save_pretrained(tmp_path / "model")
    assert OqvlConfig.from_pretrained(tmp_path / "model").image_std == processor.config.image_std
    pixels = torch.randn(1, 3, 24, 24)
    with torch.no_grad():
        hidden = source.eval()(pixels, output_hidden_states=True).hidden_states[1]
        assert torch.equal(model.vision(pixels), hidden[:, model.config.num_prefix_tokens :])


@pytest.mark.parametrize(("part", "model_type"), [("vision", "siglip2"), ("vision", "vit"), ("text", "phi3")])
def test_directories_of_other_models_are_refused_by_name(tmp_path, tokenizer_json, part, model_type):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "config.json").write_text(json.dumps({"model_type": model_type}))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    values = {"output": tmp_path / "model", "tokenizer": tmp_path / "tokenizer.json"}
    with pytest.raises(ConfigError, match=f"model_type is '{model_type}'"):
        build_model(InitConfig.from_values(values | {part: {"directory": tmp_path / "part"}}))


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


def test_the_projector_starts_as_asked(tmp_path, tokenizer_json):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    text = TextInit(hidden_size=64, intermediate_size=8, num_layers=1, num_attention_heads=2, num_key_value_heads=2)
    vision = VisionInit(image_size=24, hidden_size=64, intermediate_size=8, num_layers=2, num_attention_heads=2)
    config = InitConfig(
        output=tmp_path / "model",
        tokenizer=tmp_path / "tokenizer.json",
        vision=vision,
        text=text,
        visual_tokens_per_image=1,
    )
    normal, linear = (
        build_model(config.model_copy(update={"projector_init": name}))[0] for name in ("normal", "linear")
    )
    bound = 64**-0.5
    for part in ("linear_1", "linear_2"):
        ours, torchs = getattr(normal.projector, part), getattr(linear.projector, part)
        assert ours.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert torch.count_nonzero(ours.bias) == 0
        assert torchs.weight.abs().max() <= bound
        assert torchs.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert torch.count_nonzero(torchs.bias) > 0
    assert torch.equal(normal.text.model.norm.weight, linear.text.model.norm.weight)
    assert torch.equal(normal.text.lm_head.weight, linear.text.lm_head.weight)
