"""The model's configuration as transformers saves it: `config.json`.

    OqvlConfig
    ├── vision_config   one of `TOWER_CONFIGS`: SigLIP, CLIP, DINOv2, or a stage of any timm network with feature maps
    └── text_config     one of `oqvl_model.decoder.DECODERS`, by its `model_type`

The configurations of the commands are in `config.py`.
"""

from __future__ import annotations

import math
from typing import Any

from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    PreTrainedConfig,
    SiglipVisionConfig,
)

from oqvl_model.decoder import decoder_config
from oqvl_shards.errors import ConfigError

_Rgb = tuple[float, ...]

PIXEL_STATISTICS: dict[str, tuple[_Rgb, _Rgb]] = {
    "siglip_vision_model": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip_vision_model": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "dinov2_with_registers": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of each tower's pixel normalisation, per RGB channel of values in [0, 1].

The original weights were trained with them. SigLIP maps pixels to [-1, 1]. A `vision_config` with an
`image_mean` and an `image_std` of its own overrides them.
"""


class TimmTowerConfig(PreTrainedConfig):
    """Configuration of a vision tower made of the first stages of a timm network.

    Args:
        architecture: timm's name of the network, e.g. `tf_efficientnet_lite0`.
        image_size: Side of the square input in pixels, a multiple of `feature_stride`.
        feature_stride: Input pixels per feature along one axis (timm's "reduction"). It selects the stage.
        hidden_size: Number of channels of that stage.
        image_mean: Mean of the pixel normalisation, per RGB channel of values in [0, 1].
        image_std: Standard deviation of the pixel normalisation, per RGB channel.
    """

    model_type = "oqvl_timm_tower"
    base_config_key = "vision_config"

    architecture: str = "tf_efficientnet_lite0"
    image_size: int = 224
    feature_stride: int = 32
    hidden_size: int = 320
    image_mean: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)


TOWER_CONFIGS: dict[str, type[PreTrainedConfig]] = {
    config.model_type: config
    for config in (SiglipVisionConfig, CLIPVisionConfig, Dinov2Config, Dinov2WithRegistersConfig, TimmTowerConfig)
}
"""Every kind of tower by its `model_type`."""

_NAFLEX = "it takes images of any shape; take a SigLIP2 of fixed resolution, whose model_type is siglip"
_TOWER_REASONS = {
    "siglip2": _NAFLEX,
    "siglip2_vision_model": _NAFLEX,
    "dinov3_vit": "its rotary positions are not built here; take a DINOv2, with or without registers",
}


class OqvlConfig(PreTrainedConfig):
    """Configuration of `OqvlForConditionalGeneration`.

    Args:
        vision_config: The tower's configuration, or its dict with its `model_type`. Without one it is a SigLIP.
        text_config: The decoder's configuration, or its dict with its `model_type`. Without one it is a Qwen2.
        image_token_id: Id of the image placeholder. `input_ids` holds one placeholder per visual token.
        visual_tokens_per_image: Visual tokens per image: a square number, at most the features of the tower's map. A
            batch may give another number for each image.
        projector_hidden_size: Width between the projector's two layers. None means the decoder's width.
        trim_vision_blocks: Number of final blocks to leave out of a transformer tower. With 1, the features are the
            output of the second-to-last block. It has no effect on a timm tower, which ends at its stage.

    Raises:
        ConfigError: If the parts do not fit together.
    """

    model_type = "oqvl"
    sub_configs = {"vision_config": PreTrainedConfig, "text_config": PreTrainedConfig}  # noqa: RUF012  # pyrefly: ignore[bad-override]

    # Typed as Any because dicts and None are accepted too; `__post_init__` turns them into configurations.
    vision_config: Any = None
    text_config: Any = None
    image_token_id: int = 151665
    visual_tokens_per_image: int = 144
    projector_hidden_size: int | None = None
    trim_vision_blocks: int = 1
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Turn the parts' dicts into configurations, and check that they fit together."""
        self.vision_config = _vision_config(self.vision_config)
        self.text_config = decoder_config(self.text_config)
        # transformers reads this flag from the top-level configuration when it ties the head to the embedding.
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        _check_trim(self.trim_vision_blocks, self.vision_config)
        check_visual_tokens(self.visual_tokens_per_image, self.grid_size)
        super().__post_init__(**kwargs)

    @property
    def grid_size(self) -> int:
        """Number of features along one side of the tower's square feature map."""
        vision = self.vision_config
        return vision.image_size // (
            vision.feature_stride if isinstance(vision, TimmTowerConfig) else vision.patch_size
        )

    @property
    def num_prefix_tokens(self) -> int:
        """Number of tokens that go through the tower's blocks before the patches: a class token, registers."""
        vision = self.vision_config
        has_class_token = isinstance(vision, CLIPVisionConfig | Dinov2Config | Dinov2WithRegistersConfig)
        return int(has_class_token) + getattr(vision, "num_register_tokens", 0)

    @property
    def image_mean(self) -> tuple[float, ...]:
        """Mean of the pixel normalisation, per RGB channel of values in [0, 1]."""
        return pixel_statistics(self.vision_config)[0]

    @property
    def image_std(self) -> tuple[float, ...]:
        """Standard deviation of the pixel normalisation, per RGB channel."""
        return pixel_statistics(self.vision_config)[1]


def check_visual_tokens(num_tokens: int, grid_size: int) -> None:
    """Raise `ConfigError` unless a square map of `grid_size` features per side can be pooled to `num_tokens`."""
    side = math.isqrt(max(num_tokens, 0))
    if num_tokens < 1 or side * side != num_tokens or side > grid_size:
        raise ConfigError(
            f"visual_tokens_per_image is {num_tokens}; expected a square number from 1 to {grid_size**2} "
            f"(the tower's map is {grid_size} x {grid_size})",
            hint="Open-Qwen2VL pre-trains with 144 and fine-tunes with 729 on a 27 x 27 map",
        )


def pixel_statistics(vision: PreTrainedConfig) -> tuple[_Rgb, _Rgb]:
    """Return the mean and the standard deviation of a tower's pixel normalisation; see `PIXEL_STATISTICS`."""
    mean, std = PIXEL_STATISTICS.get(vision.model_type, ((), ()))
    return tuple(getattr(vision, "image_mean", mean)), tuple(getattr(vision, "image_std", std))


def check_tower(model_type: str | None) -> None:
    """Raise `ConfigError` unless `model_type` is a tower's."""
    if model_type not in TOWER_CONFIGS:
        reason = _TOWER_REASONS.get(model_type or "", "it is not built here")
        raise ConfigError(
            f"vision_config.model_type is {model_type!r}; expected one of {sorted(TOWER_CONFIGS)}: {reason}",
            hint="docs/towers-and-decoders.md lists the towers",
        )


def _vision_config(config: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if not isinstance(config, PreTrainedConfig):
        values = dict(config or {})
        model_type = values.get("model_type", SiglipVisionConfig.model_type)
        check_tower(model_type)
        config = TOWER_CONFIGS[model_type](**values)
    check_tower(config.model_type)
    vision: Any = config
    if not isinstance(vision.image_size, int):
        raise ConfigError(
            f"the tower's image_size is {vision.image_size}, expected one number of pixels",
            hint="images are resized to a square; give its side",
        )
    return config


def _check_trim(trim: int, vision: Any) -> None:
    """Raise `ConfigError` unless a transformer tower keeps at least one block."""
    if not isinstance(vision, TimmTowerConfig) and not 0 <= trim < vision.num_hidden_layers:
        raise ConfigError(
            f"trim_vision_blocks is {trim}, but the tower has {vision.num_hidden_layers} blocks",
            hint="leave out fewer blocks than there are; 1 gives the second-to-last block's output",
        )
