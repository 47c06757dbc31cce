"""The released layout, with the published keys at a tiny size, against the parts put together by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oqvl_model import run
from oqvl_model.config import ConvertConfig
from oqvl_model.conversion.open_qwen2vl import open_open_qwen2vl
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_model.report import ConvertReport
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Kind

IMAGE_SIZE, NUM_HEADS, GRID, NUM_BLOCKS = 70, 2, 5, 3


@pytest.fixture
def convert(tmp_path: Path, text_directory: Path):
    """Return a function that converts a source into `tmp_path/OUTPUT`."""

    def convert(source: Path, output: str = "model", **values: Any) -> ConvertReport:
        settings: dict[str, Any] = {
            "source": source,
            "output": tmp_path / output,
            "text_directory": text_directory,
            "image_size": IMAGE_SIZE,
            "num_heads": NUM_HEADS,
        }
        return run.convert(ConvertConfig.from_values(settings | values))

    return convert


def by_hand(
    tower: Any, mlp: nn.Module, qwen: Any, ids: Tensor, pixels: Tensor, image_id: int, num_tokens: int
) -> Tensor:
    """Run the original's parts one after another, on one row of ids with one placeholder per visual token."""
    (features,) = tower.get_intermediate_layers(pixels, n={len(tower.blocks) - 2})
    grid = features.transpose(1, 2).unflatten(2, (GRID, GRID))
    side = round(num_tokens**0.5)
    pooled = nn.functional.adaptive_avg_pool2d(grid, (side, side)).flatten(2).transpose(1, 2)
    embeddings = qwen.get_input_embeddings()(ids).clone()
    embeddings[ids == image_id] = mlp(pooled).flatten(0, 1)
    return qwen(inputs_embeds=embeddings).logits


@torch.no_grad()
@pytest.mark.parametrize(("arch", "num_tokens"), [("no-align+4-avgpool", 4), ("full-align+25-avgpool", 25)])
def test_logits_equal_those_of_the_parts(
    write_released, convert, vision_directory, timm_tower, mlp, qwen, picture, arch, num_tokens
):
    report = convert(write_released(arch_specifier=arch), vision_directory=vision_directory)
    model: Any = OqvlForConditionalGeneration.from_pretrained(report.output).eval()
    processor = OqvlProcessor.from_pretrained(report.output)
    inputs = processor.batch([["What is ", picture(1), " or ", picture(2), "?"]], chat=True)
    assert (inputs["input_ids"] == 151668).sum() == 2 * num_tokens
    expected = by_hand(timm_tower, mlp, qwen, inputs["input_ids"], inputs["pixel_values"], 151668, num_tokens)
    actual = model(**inputs).logits
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert expected.std() > 1


def test_the_directory_is_a_model_of_ours(write_released, convert, vision_directory, tmp_path):
    report = convert(write_released(), vision_directory=vision_directory)
    dataset = open_dataset(tmp_path / "model", Kind.CHECKPOINT)
    assert {shard.path for shard in dataset.manifest.shards} == {
        *("config.json", "conversion.json", "generation_config.json", "model.safetensors"),
        *("processor_config.json", "tokenizer.json", "tokenizer_config.json"),
    }
    processor = OqvlProcessor.from_pretrained(tmp_path / "model")
    special = ("<|endofchunk|>", "<s>", "<|pad|>", "<image>")
    assert [processor.special_id(token) for token in special] == [151665, 151666, 151667, 151668]
    assert processor.config.chat_template == "open-qwen2vl"
    model: Any = OqvlForConditionalGeneration.from_pretrained(tmp_path / "model")
    assert model.config.vision_config.hidden_act == "gelu"
    assert model.config.vision_config.num_hidden_layers == NUM_BLOCKS
    assert len(model.vision.layers) == NUM_BLOCKS - 1
    assert model.text.lm_head.weight is model.text.model.embed_tokens.weight
    assert model.generation_config.eos_token_id == processor.end_token_id
    assert report.num_parameters == model.num_parameters()
    model.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/config.json").read_text() == (tmp_path / "model/config.json").read_text()
    lineage = json.dumps(dataset.manifest.lineage.config)
    assert str(tmp_path) not in lineage


def test_every_key_is_reported(write_released, convert, vision_directory, timm_tower, mlp, qwen):
    report = convert(write_released(), vision_directory=vision_directory)
    keys = {f"model.projector.mlp_projector.{name}" for name in mlp.state_dict()}
    keys |= {f"model.llm_backbone.llm.{name}" for name in qwen.state_dict()}
    keys |= {f"vision_directory.visual.trunk.{name}" for name in timm_tower.state_dict()}
    keys |= {f"vision_directory.{name}" for name in ("text.token_embedding.weight", "logit_scale", "logit_bias")}
    assert report.mapped.keys() | report.unused.keys() == keys
    assert not report.mapped.keys() & report.unused.keys()
    qkv = report.mapped["vision_directory.visual.trunk.blocks.1.attn.qkv.bias"]
    assert qkv == tuple(f"vision.layers.1.self_attn.{name}_proj.bias" for name in "qkv")
    last = f"vision_directory.visual.trunk.blocks.{NUM_BLOCKS - 1}."
    assert all(key in report.unused for key in keys if key.startswith(last))
    assert "tied" in report.unused["model.llm_backbone.llm.lm_head.weight"]
    assert report.missing == ()
    assert "the model tiny" in report.table()


def test_a_repeated_conversion_does_no_work_and_gives_the_same_bytes(write_released, convert, vision_directory):
    source = write_released()
    first = convert(source, vision_directory=vision_directory)
    assert convert(source, vision_directory=vision_directory) == first
    again = convert(source, "again", vision_directory=vision_directory)
    assert again.digest == first.digest
    with pytest.raises(ConfigError, match="already holds"):
        convert(source, vision_directory=vision_directory, dtype="bfloat16")


@torch.no_grad()
def test_a_trained_tower_in_the_checkpoint_is_used(write_released, convert, timm_tower, vision_directory):
    tower = {f"featurizer.{name}": tensor + 0.5 for name, tensor in timm_tower.state_dict().items()}
    state = torch.load(write_released(name="plain") / "checkpoints/latest-checkpoint.pt", mmap=True)["model"]
    source = write_released(state | {"vision_backbone": tower})
    model: Any = OqvlForConditionalGeneration.from_pretrained(convert(source).output)
    assert torch.equal(model.vision.layers[0].mlp.fc1.weight, tower["featurizer.blocks.0.mlp.fc1.weight"])
    with pytest.raises(ConfigError, match="a tower of its own"):
        convert(source, "other", vision_directory=vision_directory)


@torch.no_grad()
def test_a_head_of_its_own_is_kept(write_released, convert, qwen, vision_directory):
    state = {f"llm.{name}": tensor for name, tensor in qwen.state_dict().items()}
    head = state["llm.lm_head.weight"].clone()
    head[-1, -1] += 1
    report = convert(
        write_released({"llm_backbone": state | {"llm.lm_head.weight": head}}), vision_directory=vision_directory
    )
    model: Any = OqvlForConditionalGeneration.from_pretrained(report.output)
    assert torch.equal(model.text.lm_head.weight, head)
    assert torch.equal(model.text.model.embed_tokens.weight, state["llm.model.embed_tokens.weight"])
    assert not model.config.text_config.tie_word_embeddings


def test_a_prismatic_model_without_pooling_is_converted(write_released, convert, mlp, vision_directory):
    projector = {f"projector.{name}": tensor for name, tensor in mlp.state_dict().items()}
    source = write_released({"projector": projector}, arch_specifier="no-align+gelu-mlp")
    report = convert(source, vision_directory=vision_directory)
    model: Any = OqvlForConditionalGeneration.from_pretrained(report.output)
    assert model.config.visual_tokens_per_image == GRID**2
    assert torch.equal(model.projector.linear_2.bias, mlp[2].bias)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arch_specifier": "no-align+fused-gelu-mlp"}, "arch_specifier is 'no-align\\+fused-gelu-mlp'"),
        ({"arch_specifier": "linear"}, "projector of other layers"),
        ({"vision_backbone_id": "dinosiglip-vit-so-384px"}, "two towers whose features are joined"),
        ({"llm_backbone_id": "vicuna-v15-7b"}, "llm_backbone_id is 'vicuna-v15-7b'"),
        ({"image_resize_strategy": "letterbox"}, "crops or pads"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(write_released, convert, vision_directory, fields, message):
    with pytest.raises(ConfigError, match=message):
        convert(write_released(**fields), vision_directory=vision_directory)


def test_unknown_and_missing_keys_are_named(write_released, convert, mlp, vision_directory):
    projector = {f"mlp_projector.{name}": tensor for name, tensor in mlp.state_dict().items()}
    for name, changed, message in [
        (
            "unknown",
            projector | {"mlp_projector.4.weight": torch.zeros(1)},
            r"no rule knows \(1\): model.projector.mlp_",
        ),
        (
            "missing",
            {k: v for k, v in projector.items() if "2.bias" not in k},
            r"weights \(1\): projector.linear_2.bias",
        ),
        (
            "shape",
            projector | {"mlp_projector.2.bias": torch.zeros(3)},
            r"has shape \(3,\), but projector.linear_2.bias",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            convert(write_released({"projector": changed}, name=name), vision_directory=vision_directory)


def test_missing_files_are_named(write_released, convert, text_directory, tmp_path, vision_directory):
    source = write_released()
    with pytest.raises(ConfigError, match="has no vision tower"):
        convert(source)
    with pytest.raises(ConfigError, match="text_directory is not given"):
        convert(source, text_directory=None)
    with pytest.raises(ConfigError, match="no directory at"):
        convert(source, vision_directory=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="does not fit images of 384 pixels"):
        convert(source, vision_directory=vision_directory, image_size=384)
    (source / "checkpoints/latest-checkpoint.pt").write_bytes(b"version 1")
    with pytest.raises(ConfigError, match="found text that starts with 'version 1'"):
        convert(source, vision_directory=vision_directory)


def test_a_source_is_opened_without_reading_its_tensors(write_released, text_directory, vision_directory, tmp_path):
    source = write_released()
    config = ConvertConfig(
        source=source,
        output=tmp_path / "model",
        text_directory=text_directory,
        vision_directory=vision_directory,
        image_size=IMAGE_SIZE,
        num_heads=NUM_HEADS,
        visual_tokens_per_image=9,
        chat_template="chatml",
    )
    opened = open_open_qwen2vl(config)
    assert opened.config.visual_tokens_per_image == 9
    assert opened.processor.config.chat_template == "chatml"
    assert "it was trained on sequences of up to 4,096 tokens" in opened.notes
