"""Build a new model from an `InitConfig`: its configuration, its processor, and fresh or loaded weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, GenerationConfig, PreTrainedConfig, Qwen2Config, SiglipVisionConfig

from oqvl_model.config import InitConfig, TextInit, VisionInit
from oqvl_model.configuration_oqvl import (
    TOWER_CONFIGS,
    OqvlConfig,
    TimmTowerConfig,
    check_tower,
    pixel_statistics,
)
from oqvl_model.decoder import load_decoder, read_decoder_config
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor, ProcessorConfig
from oqvl_model.special_tokens import add_special_tokens
from oqvl_model.vision import TimmTower, TransformerTower, timm_stage_channels
from oqvl_model.weights import load_timm
from oqvl_shards.errors import ConfigError

_TOWERS_OF_PAIRS = {"siglip": SiglipVisionConfig.model_type, "clip": CLIPVisionConfig.model_type}
"""The tower's `model_type` in a directory that also has the text encoder it was trained with."""


def build_model(config: InitConfig) -> tuple[OqvlForConditionalGeneration, OqvlProcessor]:
    """Build the model and the processor that `config` describes. The same seed gives the same weights.

    Raises:
        ConfigError: If the parts do not fit together, or an input file is missing or malformed.
    """
    vision = _vision_config(config.vision)
    processor = _processor(config, vision)
    text = _text_config(config.text, processor)
    model_config = OqvlConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=processor.image_token_id,
        visual_tokens_per_image=config.visual_tokens_per_image,
        projector_hidden_size=config.projector_hidden_size,
        trim_vision_blocks=config.vision.trim_blocks,
    )
    torch.manual_seed(config.seed)
    model = OqvlForConditionalGeneration(model_config)
    if config.projector_init == "linear":
        model.projector.linear_1.reset_parameters()
        model.projector.linear_2.reset_parameters()
    model.generation_config = GenerationConfig(
        bos_token_id=processor.bos_token_id, eos_token_id=processor.end_token_id, pad_token_id=processor.pad_token_id
    )
    if isinstance(model.vision, TransformerTower) and config.vision.directory is not None:
        model.vision.load_directory(config.vision.directory)
    if isinstance(model.vision, TimmTower) and config.vision.weights is not None:
        load_timm(model.vision, config.vision.weights)
    if config.text.directory is not None:
        load_decoder(model.text, config.text.directory)
    return model, processor


def _vision_config(vision: VisionInit) -> PreTrainedConfig:
    """Return the tower's configuration: of a timm stage, of a local model directory, or of a fresh SigLIP."""
    if vision.kind == "timm":
        return TimmTowerConfig(
            architecture=vision.architecture,
            image_size=vision.image_size,
            feature_stride=vision.feature_stride,
            hidden_size=timm_stage_channels(vision.architecture, vision.feature_stride),
            image_mean=list(vision.image_mean),
            image_std=list(vision.image_std),
        )
    if vision.directory is not None:
        return _read_tower_config(_check_model_directory("vision.directory", vision.directory), vision)
    return SiglipVisionConfig(
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        hidden_size=vision.hidden_size,
        intermediate_size=vision.intermediate_size,
        num_hidden_layers=vision.num_layers,
        num_attention_heads=vision.num_attention_heads,
        hidden_act=vision.hidden_act,
    )


def _read_tower_config(directory: Path, init: VisionInit) -> PreTrainedConfig:
    """Read the tower's configuration from a model directory of the tower alone, or of tower and text encoder."""
    values, _ = PreTrainedConfig.get_config_dict(directory)
    model_type = values.get("model_type", "")
    model_type = _TOWERS_OF_PAIRS.get(model_type, model_type)
    check_tower(model_type)
    vision: Any = TOWER_CONFIGS[model_type].from_pretrained(directory)
    if isinstance(vision, SiglipVisionConfig):
        vision.hidden_act = init.hidden_act
    # The weights fit their own pixel normalisation. It is recorded if it is not the usual one of the architecture.
    own = _read_json(directory / "preprocessor_config.json")
    mean, std = pixel_statistics(vision)
    if tuple(own.get("image_mean", mean)) != mean or tuple(own.get("image_std", std)) != std:
        vision.image_mean, vision.image_std = own["image_mean"], own["image_std"]
    return vision


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _processor(config: InitConfig, vision: PreTrainedConfig) -> OqvlProcessor:
    """Return the processor: the configured tokenizer and special tokens, and the tower's pixel normalisation."""
    try:
        tokenizer_json = config.tokenizer.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"tokenizer: {config.tokenizer} cannot be read: {error}", hint="give the path of a tokenizer.json"
        ) from error
    mean, std = pixel_statistics(vision)
    needed = [config.bos_token, config.pad_token, config.image_token, config.end_token, config.start_token]
    return OqvlProcessor(
        ProcessorConfig(
            image_size=vision.image_size,
            image_mean=mean,
            image_std=std,
            visual_tokens_per_image=config.visual_tokens_per_image,
            image_token=config.image_token,
            end_token=config.end_token,
            pad_token=config.pad_token,
            bos_token=config.bos_token,
            start_token=config.start_token,
            system_prompt=config.system_prompt,
            chat_template=config.chat_template,
        ),
        add_special_tokens(tokenizer_json, needed),
    )


def _text_config(text: TextInit, processor: OqvlProcessor) -> PreTrainedConfig:
    """Return the decoder's configuration, with an embedding row for every id of the tokenizer."""
    num_rows = -(-processor.vocab_size // text.vocab_multiple) * text.vocab_multiple
    if text.directory is not None:
        decoder: Any = read_decoder_config(_check_model_directory("text.directory", text.directory))
        decoder.vocab_size = max(decoder.vocab_size, num_rows)
        return decoder
    return Qwen2Config(
        vocab_size=num_rows,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=text.num_layers,
        num_attention_heads=text.num_attention_heads,
        num_key_value_heads=text.num_key_value_heads,
        max_position_embeddings=text.max_position_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": text.rope_theta},
        tie_word_embeddings=text.tie_embeddings,
    )


def _check_model_directory(key: str, directory: Path) -> Path:
    if not (directory / "config.json").is_file():
        raise ConfigError(f"{key}: {directory} has no config.json", hint="give the path of a local model directory")
    return directory
