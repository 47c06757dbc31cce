"""Tiny models in the published layouts, with the published keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

WIDTH, TEXT_WIDTH = 32, 32
IMAGE_SIZE, PATCH_SIZE, GRID = 70, 14, 5
NUM_HEADS, NUM_BLOCKS = 2, 3
NUM_ROWS = 151936


@pytest.fixture(scope="session")
def timm_tower() -> nn.Module:
    """timm's SO400M SigLIP, scaled down."""
    torch.manual_seed(11)
    tower: Any = timm.create_model(
        "vit_so400m_patch14_siglip_384",
        img_size=IMAGE_SIZE,
        embed_dim=WIDTH,
        depth=NUM_BLOCKS,
        num_heads=NUM_HEADS,
        num_classes=0,
    ).eval()
    _enliven(tower)
    return tower


@pytest.fixture(scope="session")
def qwen() -> Qwen2ForCausalLM:
    """Qwen2.5, scaled down, with the rows of the published embedding."""
    torch.manual_seed(12)
    config = Qwen2Config(
        vocab_size=NUM_ROWS,
        hidden_size=TEXT_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config).eval()
    _enliven(model)
    return model


@pytest.fixture(scope="session")
def mlp() -> nn.Sequential:
    torch.manual_seed(13)
    layers = nn.Sequential(nn.Linear(WIDTH, TEXT_WIDTH), nn.GELU(), nn.Linear(TEXT_WIDTH, TEXT_WIDTH))
    _enliven(layers)
    return layers


@pytest.fixture(scope="session")
def text_directory(tmp_path_factory: pytest.TempPathFactory, qwen: Any, qwen_tokenizer_json: bytes) -> Path:
    directory = tmp_path_factory.mktemp("qwen")
    qwen.config.save_pretrained(directory)
    (directory / "tokenizer.json").write_bytes(qwen_tokenizer_json)
    return directory


@pytest.fixture(scope="session")
def vision_directory(tmp_path_factory: pytest.TempPathFactory, timm_tower: nn.Module) -> Path:
    """timm's tower as its published file holds it, under open_clip's names with SigLIP's other parts."""
    directory = tmp_path_factory.mktemp("siglip")
    state = {f"visual.trunk.{name}": tensor for name, tensor in timm_tower.state_dict().items()}
    state |= {
        "text.token_embedding.weight": torch.zeros(2, 2),
        "logit_scale": torch.zeros(1),
        "logit_bias": torch.ones(1),
    }
    save_file(state, directory / "open_clip_model.safetensors")
    return directory


@pytest.fixture
def write_released(qwen: Any, mlp: nn.Sequential, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the released layout, with the given parts of its configuration and keys changed."""

    def write(parts: dict[str, dict[str, Tensor]] | None = None, name: str = "released", **fields: str | int) -> Path:
        source = tmp_path / name
        (source / "checkpoints").mkdir(parents=True)
        model = {
            "model_id": "tiny",
            "arch_specifier": "no-align+4-avgpool",
            "vision_backbone_id": "siglip-vit-so400m-384px",
            "llm_backbone_id": "qwen2.5-1.5b-instruct",
            "image_resize_strategy": "resize-naive",
            "llm_max_length": 4096,
        }
        (source / "config.json").write_text(json.dumps({"model": model | fields, "mount_path": "/none"}))
        state = {
            "projector": {f"mlp_projector.{name}": tensor for name, tensor in mlp.state_dict().items()},
            "llm_backbone": {f"llm.{name}": tensor for name, tensor in qwen.state_dict().items()},
        } | (parts or {})
        torch.save({"model": state}, source / "checkpoints/latest-checkpoint.pt")
        return source

    return write


def _enliven(module: nn.Module) -> None:
    """Scale up every parameter. Fresh weights are so small that most mistakes would not show."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape)
            parameter.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else 0.3 * noise)
