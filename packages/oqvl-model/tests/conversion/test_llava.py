"""LLaVA layouts at a tiny size: what transformers computes with the source is what the converted model computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen2Config, SiglipVisionConfig

from oqvl_model import run
from oqvl_model.config import ConvertConfig
from oqvl_model.conversion.llava import open_llava, open_llava_qwen
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError

VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
}
TEXT = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.fixture
def source(tmp_path: Path, tokenizer_json: bytes, processor: OqvlProcessor, enliven: Any) -> Path:
    """A model that transformers has saved."""
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**VISION),
        text_config=Qwen2Config(**TEXT),
        image_token_index=processor.image_token_id,
        vision_feature_layer=-2,
        vision_feature_select_strategy="full",
    )
    model: Any = enliven(LlavaForConditionalGeneration(config))
    model.save_pretrained(tmp_path / "llava")
    (tmp_path / "llava/tokenizer.json").write_bytes(tokenizer_json)
    (tmp_path / "llava/tokenizer_config.json").write_text(json.dumps({"pad_token": "<|pad|>"}))
    return tmp_path / "llava"


def change_config(source: Path, **values: Any) -> None:
    config = json.loads((source / "config.json").read_text())
    for key, value in values.items():
        if isinstance(value, dict):
            config[key] |= value
        else:
            config[key] = value
    (source / "config.json").write_text(json.dumps(config))


def converted(source: Path, **values: Any) -> tuple[Any, Any]:
    output = source.parent / "model"
    report = run.convert(ConvertConfig.from_values({"source": source, "output": output} | values))
    return report, OqvlForConditionalGeneration.from_pretrained(output).eval()


@torch.no_grad()
@pytest.mark.parametrize("layer", [-2, -3, 2])
def test_logits_equal_those_of_transformers(source, picture, layer):
    change_config(source, vision_feature_layer=layer)
    report, model = converted(source)
    theirs: Any = LlavaForConditionalGeneration.from_pretrained(source).eval()
    processor = OqvlProcessor.from_pretrained(report.output)
    inputs = processor.batch([["What is ", picture(1), "?"]], chat=True)
    assert (inputs["input_ids"] == processor.image_token_id).sum() == 16
    expected = theirs(**inputs).logits
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    assert report.layout == "llava"
    assert {key for key in report.unused if "layers.0" in key} == set()
    assert (processor.bos_token_id, processor.config.chat_template) == (None, "chatml")


@torch.no_grad()
def test_the_keys_of_older_and_newer_versions_give_the_same_weights(source, tmp_path):
    state = load_file(source / "model.safetensors")
    _, model = converted(source)
    for number, renamed in enumerate(
        [
            {key.replace("vision_tower.", "vision_tower.vision_model."): tensor for key, tensor in state.items()},
            {
                key.replace("language_model.model.", "model.language_model.")
                .replace("language_model.lm_head", "lm_head")
                .replace("vision_tower.", "model.vision_tower.")
                .replace("multi_modal_projector.", "model.multi_modal_projector."): tensor
                for key, tensor in state.items()
            },
        ]
    ):
        save_file(renamed, source / "model.safetensors")
        report, again = converted(source, output=tmp_path / f"again {number}"), None
        again = load_file(report[0].output / "model.safetensors")
        expected = load_file(tmp_path / "model/model.safetensors")
        assert again.keys() == expected.keys()
        assert all(torch.equal(again[key], expected[key]) for key in expected)
    assert model.config.text_config.tie_word_embeddings is False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"vision_config": {"model_type": "clip_vision_model"}},
            "a class token, a norm before the blocks and QuickGELU",
        ),
        ({"text_config": {"model_type": "llama"}}, "text_config.model_type is 'llama'"),
        ({"vision_feature_select_strategy": "default"}, "vision_feature_select_strategy is 'default'"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act is 'relu'"),
        ({"vision_feature_layer": [-2, -5]}, "features of several layers"),
        ({"vision_feature_layer": -4}, "one layer from -3 to 3"),
        ({"image_token_id": 319}, "no added token with the id 319"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(source, tmp_path, values, message):
    change_config(source, **values)
    with pytest.raises(ConfigError, match=message):
        open_llava(ConvertConfig(source=source, output=tmp_path / "model"))


@pytest.fixture
def llava_qwen(source: Path) -> Path:
    """The same weights in the layout of LLaVA's own code, with a scoring head and without the tower's last block."""
    state = load_file(source / "model.safetensors")
    renamed = {"score.weight": torch.zeros(1, 32), "model.image_newline": torch.zeros(32)}
    for key, tensor in state.items():
        if key.startswith(("vision_tower.encoder.layers.2.", "vision_tower.head.")):
            continue
        for old, new in [
            ("vision_tower.", "model.vision_tower.vision_tower.vision_model."),
            ("multi_modal_projector.linear_1.", "model.mm_projector.mlp_projector.0."),
            ("multi_modal_projector.linear_2.", "model.mm_projector.mlp_projector.2."),
            ("language_model.", ""),
        ]:
            if key.startswith(old):
                renamed[new + key.removeprefix(old)] = tensor
    save_file(renamed, source / "model.safetensors")
    values = TEXT | {"model_type": "llava_qwen", "mm_vision_tower": "google/siglip-so400m-patch14-384"}
    (source / "config.json").write_text(json.dumps(values))
    return source


@torch.no_grad()
def test_llava_qwen_gives_the_model_of_the_same_weights(source, llava_qwen, tmp_path, picture):
    report, model = converted(llava_qwen, image_size=24, num_heads=2, visual_tokens_per_image=4)
    assert report.layout == "llava-qwen"
    assert report.unused.keys() >= {"score.weight", "model.image_newline"}
    assert "scores samples" in report.unused["score.weight"]
    assert len(model.vision.layers) == 2
    assert model.config.visual_tokens_per_image == 4
    assert model.config.vision_config.hidden_act == "gelu_pytorch_tanh"
    state = load_file(llava_qwen / "model.safetensors")
    written = load_file(report.output / "model.safetensors")
    assert torch.equal(written["projector.linear_1.weight"], state["model.mm_projector.mlp_projector.0.weight"])
    assert torch.equal(written["text.lm_head.weight"], state["lm_head.weight"])
    tower = "model.vision_tower.vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight"
    assert torch.equal(written["vision.layers.1.mlp.fc1.weight"], state[tower])
    processor = OqvlProcessor.from_pretrained(report.output)
    inputs = processor.batch([["What is ", picture(1), "?"]], chat=True)
    assert model(**inputs).logits.isfinite().all()


def test_pooling_follows_from_the_projector(llava_qwen, tmp_path):
    config = ConvertConfig(source=llava_qwen, output=tmp_path / "model", image_size=24, num_heads=2)
    with pytest.raises(ConfigError, match="visual_tokens_per_image is 144"):
        open_llava_qwen(config)
    state = load_file(llava_qwen / "model.safetensors")
    plain = {key.replace("mlp_projector.", ""): tensor for key, tensor in state.items()}
    save_file(plain, llava_qwen / "model.safetensors")
    assert open_llava_qwen(config).config.visual_tokens_per_image == 16
    change_config(llava_qwen, mm_vision_tower="openai/clip-vit-large-patch14-336")
    with pytest.raises(ConfigError, match="clip-vit-large"):
        open_llava_qwen(config)


def test_a_tower_from_elsewhere_is_taken_whole(llava_qwen, source, tmp_path):
    state = load_file(llava_qwen / "model.safetensors")
    tower = {key: state.pop(key) for key in list(state) if ".vision_tower." in key}
    save_file(state, llava_qwen / "model.safetensors")
    (tmp_path / "siglip").mkdir()
    prefix = "model.vision_tower.vision_tower."
    save_file(
        {key.removeprefix(prefix): tensor for key, tensor in tower.items()}, tmp_path / "siglip/model.safetensors"
    )
    config = ConvertConfig(
        source=llava_qwen,
        output=tmp_path / "model",
        vision_directory=tmp_path / "siglip",
        image_size=24,
        num_heads=2,
        visual_tokens_per_image=4,
    )
    opened = open_llava_qwen(config)
    assert opened.config.vision_config.num_hidden_layers - opened.config.trim_vision_blocks == 1


def test_a_missing_placeholder_is_added(llava_qwen, tokenizer_json, tmp_path):
    tokenizer = json.loads(tokenizer_json)
    without = [token for token in tokenizer["added_tokens"] if token["content"] != "<image>"]
    tokenizer["added_tokens"] = without
    (llava_qwen / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert AddedToken("<image>", special=True).content not in {token["content"] for token in without}
    _, model = converted(llava_qwen, image_size=24, num_heads=2, visual_tokens_per_image=4)
    added = Tokenizer.from_file(str(tmp_path / "model/tokenizer.json"))
    assert model.config.image_token_id == added.token_to_id("<image>")
