"""Vision towers turn pixels into a square map of features.

A transformer tower leaves out its last `trim_vision_blocks` blocks and gives what transformers' `hidden_states` hold
there: no final norm, and neither class token nor registers. The default leaves out one block, as LLaVA and
Open-Qwen2VL do with CLIP and SigLIP, and Prismatic with DINOv2: the last block serves the objective that the tower was
trained for.

A tower always stays in inference mode. Its parameters are frozen unless training asks for them.

Shape suffixes: N images, C colours, H and W pixels, P features of the map in row order (grid * grid), S tokens that go
through the blocks (P plus class token and registers), D tower width, h and w features per side of the map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionModel,
    Dinov2Model,
    Dinov2WithRegistersModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipVisionModel,
)
from transformers.models.clip.modeling_clip import CLIPEncoderLayer, CLIPPreTrainedModel, CLIPVisionEmbeddings
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings, Dinov2Layer, Dinov2PreTrainedModel
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import (
    Dinov2WithRegistersEmbeddings,
    Dinov2WithRegistersLayer,
    Dinov2WithRegistersPreTrainedModel,
)
from transformers.models.siglip.modeling_siglip import (
    SiglipEncoderLayer,
    SiglipPreTrainedModel,
    SiglipVisionEmbeddings,
)

from oqvl_model.configuration_oqvl import OqvlConfig, TimmTowerConfig
from oqvl_model.decoder import check_nothing_is_missing
from oqvl_shards.errors import ConfigError, require_extra


class TransformerTower(PreTrainedModel):
    """The embeddings and the first blocks of a vision transformer. Every kind of tower is a subclass.

    Args:
        config: Configuration of the whole transformer.
        num_blocks: Number of blocks to run. With one block fewer than the whole transformer, the output is that of the
            second-to-last block.
    """

    main_input_name = "pixel_values"
    embeddings_class: ClassVar[Any]
    block_class: ClassVar[Any]
    source_class: ClassVar[Any]
    """The transformers model whose weights the tower takes."""

    def __init__(self, config: PreTrainedConfig, num_blocks: int) -> None:
        super().__init__(config)
        self.embeddings = self.embeddings_class(config)
        self.layers = nn.ModuleList([self.block_class(config) for _ in range(num_blocks)])
        self._finish_modules()
        self.post_init()
        self.eval()

    def _finish_modules(self) -> None:
        """Add what a kind of tower has besides its embeddings and blocks."""

    def embed(self, pixel_values_NCHW: Tensor) -> Tensor:
        """Return the hidden state [N, S, D] that the first block takes."""
        return self.embeddings(pixel_values_NCHW)

    def run_block(self, block: nn.Module, hidden_NSD: Tensor) -> Tensor:
        """Return the hidden state [N, S, D] after `block`."""
        return block(hidden_NSD, attention_mask=None)

    def forward(self, pixel_values_NCHW: Tensor) -> Tensor:
        """Return the features [N, P, D] of normalised pixels [N, 3, H, W]."""
        hidden_NSD = self.embed(pixel_values_NCHW)
        num_patches = (pixel_values_NCHW.shape[-1] // self.config.patch_size) ** 2
        for block in self.layers:
            hidden_NSD = self.run_block(block, hidden_NSD)
        # Class token and registers come first.
        return hidden_NSD[:, hidden_NSD.shape[1] - num_patches :]

    def train(self, mode: bool = True) -> Self:
        """Stay in inference mode, regardless of `mode`."""
        return super().train(False)

    def load_directory(self, directory: Path) -> None:
        """Copy the embeddings and the first blocks of a local model directory into the tower.

        Raises:
            ConfigError: If the directory lacks weights of the tower.
        """
        source, loading = self.source_class.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
        check_nothing_is_missing([name for name in loading["missing_keys"] if "head." not in name], directory)
        self._copy(source)

    def _copy(self, source: Any) -> None:
        self.embeddings.load_state_dict(source.embeddings.state_dict())
        blocks = source.encoder.layers if hasattr(source.encoder, "layers") else source.encoder.layer
        for block, source_block in zip(self.layers, blocks, strict=False):
            block.load_state_dict(source_block.state_dict())


class SiglipTower(TransformerTower, SiglipPreTrainedModel):
    """SigLIP or SigLIP2 of fixed resolution, without its last blocks, final norm and pooling head."""

    embeddings_class = SiglipVisionEmbeddings
    block_class = SiglipEncoderLayer
    source_class = SiglipVisionModel


class ClipTower(TransformerTower, CLIPPreTrainedModel):
    """CLIP's vision transformer without its last blocks and final norm. The norm before the first block stays."""

    embeddings_class = CLIPVisionEmbeddings
    block_class = CLIPEncoderLayer
    source_class = CLIPVisionModel

    def _finish_modules(self) -> None:
        self.pre_layernorm = nn.LayerNorm(self.config.hidden_size, eps=self.config.layer_norm_eps)

    def embed(self, pixel_values_NCHW: Tensor) -> Tensor:
        """Return the hidden state [N, S, D] that the first block takes."""
        return self.pre_layernorm(self.embeddings(pixel_values_NCHW))

    def _copy(self, source: Any) -> None:
        super()._copy(source)
        self.pre_layernorm.load_state_dict(source.pre_layrnorm.state_dict())  # transformers spells it so


class Dinov2Tower(TransformerTower, Dinov2PreTrainedModel):
    """DINOv2 without its last blocks and final norm."""

    embeddings_class = Dinov2Embeddings
    block_class = Dinov2Layer
    source_class = Dinov2Model

    def _finish_modules(self) -> None:
        # The mask token is for pre-training only. As a parameter it would never get a gradient, so it is a buffer.
        _drop_mask_token(self.embeddings)
        self.embeddings.register_buffer("mask_token", torch.zeros(1, self.config.hidden_size), persistent=False)

    def run_block(self, block: nn.Module, hidden_NSD: Tensor) -> Tensor:
        """Return the hidden state [N, S, D] after `block`."""
        return block(hidden_NSD)

    def _copy(self, source: Any) -> None:
        _drop_mask_token(source.embeddings)
        super()._copy(source)


class Dinov2WithRegistersTower(Dinov2Tower, Dinov2WithRegistersPreTrainedModel):
    """DINOv2 with registers, without its last blocks and final norm."""

    embeddings_class = Dinov2WithRegistersEmbeddings
    block_class = Dinov2WithRegistersLayer
    source_class = Dinov2WithRegistersModel


class TimmTower(PreTrainedModel):
    """The first stages of a timm network, up to the last one with the configured stride.

    The statistics of its batch norms never change.

    Args:
        config: The tower's configuration.

    Raises:
        MissingExtraError: If timm is not installed.
        ConfigError: If the network has no stage with that stride, or the stage has another number of channels.
    """

    config: TimmTowerConfig  # pyrefly: ignore[bad-override-mutable-attribute]
    config_class = TimmTowerConfig
    main_input_name = "pixel_values"

    def __init__(self, config: TimmTowerConfig) -> None:
        super().__init__(config)
        network = timm_network(config.architecture)
        strides = [stage["reduction"] for stage in network.feature_info]
        if config.feature_stride not in strides:
            raise ConfigError(
                f"{config.architecture} has stages of strides {strides}, expected {config.feature_stride}",
                hint="set feature_stride to one of them",
            )
        # Several stages may share a stride. The last of them is the deepest.
        self.stage = len(strides) - 1 - strides[::-1].index(config.feature_stride)
        num_channels = network.feature_info[self.stage]["num_chs"]
        if num_channels != config.hidden_size:
            raise ConfigError(
                f"stage {self.stage} of {config.architecture} has {num_channels} channels, expected hidden_size="
                f"{config.hidden_size}",
                hint=f"set hidden_size to {num_channels}",
            )
        network.prune_intermediate_layers([self.stage], prune_norm=True)
        self.network = network
        self.post_init()
        self.eval()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the initialisation that timm gave the network."""

    def forward(self, pixel_values_NCHW: Tensor) -> Tensor:
        """Return the features [N, P, D] of normalised pixels [N, 3, H, W]."""
        # With colours last in memory, convolutions run up to 1.5 times faster on a CPU, and also on tensor cores.
        pixel_values_NCHW = pixel_values_NCHW.to(self.dtype, memory_format=torch.channels_last)
        (map_NDhw,) = self.network.forward_intermediates(
            pixel_values_NCHW, indices=[self.stage], intermediates_only=True, output_fmt="NCHW"
        )
        return map_NDhw.flatten(2).transpose(1, 2)

    def train(self, mode: bool = True) -> Self:
        """Stay in inference mode, regardless of `mode`."""
        return super().train(False)


_TRANSFORMER_TOWERS: dict[str, type[TransformerTower]] = {
    "siglip_vision_model": SiglipTower,
    "clip_vision_model": ClipTower,
    "dinov2": Dinov2Tower,
    "dinov2_with_registers": Dinov2WithRegistersTower,
}


def build_tower(config: OqvlConfig) -> TransformerTower | TimmTower:
    """Build the tower that `config` describes, with fresh weights."""
    vision = config.vision_config
    if isinstance(vision, TimmTowerConfig):
        return TimmTower(vision)
    return _TRANSFORMER_TOWERS[vision.model_type](vision, vision.num_hidden_layers - config.trim_vision_blocks)


def _drop_mask_token(embeddings: nn.Module) -> None:
    if hasattr(embeddings, "mask_token"):
        del embeddings.mask_token


def timm_network(architecture: str) -> Any:
    """Return the whole timm network `architecture`, with fresh weights.

    Raises:
        MissingExtraError: If timm is not installed.
        ConfigError: If timm has no such network.
    """
    with require_extra("oqvl-model", "timm"):
        import timm
    try:
        return timm.create_model(architecture, pretrained=False)
    except RuntimeError as error:
        raise ConfigError(
            f"timm cannot build a network named {architecture!r}: {error}",
            hint="timm.list_models() lists the names that the installed version has",
        ) from error


def timm_stage_channels(architecture: str, feature_stride: int) -> int:
    """Return the number of channels of the last stage of `architecture` with stride `feature_stride`.

    Raises:
        MissingExtraError: If timm is not installed.
        ConfigError: If the network has no such stage.
    """
    with torch.device("meta"):
        stages = timm_network(architecture).feature_info
    channels = {stage["reduction"]: stage["num_chs"] for stage in stages}
    if feature_stride not in channels:
        raise ConfigError(
            f"{architecture} has stages of strides {sorted(channels)}, expected {feature_stride}",
            hint="set feature_stride to one of them",
        )
    return channels[feature_stride]
