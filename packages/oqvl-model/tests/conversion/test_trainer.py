"""A checkpoint of oqvl-train, merged with the model that the run started from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from oqvl_model import run
from oqvl_model.config import ConvertConfig
from oqvl_model.conversion.trainer import METADATA_NAME, open_trainer
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError


@pytest.fixture
def step(tmp_path: Path, model: Any) -> Path:
    """Projector and decoder of `model` plus 1, in the layout of oqvl-train."""
    parameters = {
        name: parameter.detach() + 1
        for name, parameter in model.named_parameters()
        if name.startswith(("projector.", "text."))
    }
    state = {
        "parameters": parameters,
        "buffers": {},
        "optimizer": {"projector.linear_1.bias": {"step": torch.ones(1), "name": "Adam"}},
    }
    dcp.save(state, checkpoint_id=tmp_path / "step-00000010", no_dist=True)
    return tmp_path / "step-00000010"


@torch.no_grad()
def test_trained_and_frozen_parts_are_merged(step, checkpoint, model, tmp_path):
    assert (step / METADATA_NAME).is_file()
    values = {"source": step, "base": checkpoint, "output": tmp_path / "merged", "visual_tokens_per_image": 16}
    report = run.convert(ConvertConfig.from_values(values))
    merged: Any = OqvlForConditionalGeneration.from_pretrained(tmp_path / "merged")
    for name, tensor in model.state_dict().items():
        expected = tensor if name.startswith("vision.") else tensor + 1
        assert torch.equal(merged.state_dict()[name], expected), name
    assert report.layout == "trainer"
    assert report.unused["optimizer.projector.linear_1.bias.step"] == "state of the optimizer"
    assert "optimizer.projector.linear_1.bias.name" in report.unused
    assert "its new values" in report.unused["base.projector.linear_1.bias"]
    assert report.mapped["base.vision.layers.0.mlp.fc1.bias"] == ("vision.layers.0.mlp.fc1.bias",)
    processor = OqvlProcessor.from_pretrained(tmp_path / "merged")
    assert processor.config.visual_tokens_per_image == merged.config.visual_tokens_per_image == 16


def test_what_is_missing_is_named(step, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="and is not given"):
        open_trainer(ConvertConfig(source=step, output=tmp_path / "merged"))
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        open_trainer(ConvertConfig(source=step, output=tmp_path / "merged", base=tmp_path))
    (step / METADATA_NAME).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="is not a checkpoint of oqvl-train"):
        open_trainer(ConvertConfig(source=step, output=tmp_path / "merged", base=checkpoint))


def test_the_template_may_be_changed(step, checkpoint, tmp_path):
    config = ConvertConfig(source=step, output=tmp_path / "merged", base=checkpoint, chat_template="open-qwen2vl")
    assert open_trainer(config).processor.config.chat_template == "open-qwen2vl"
