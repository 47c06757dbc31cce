"""The model's configuration: a vision tower, the number of visual tokens, a Qwen2 decoder.

OqvlConfig
├── vision_config   SiglipVisionConfig, or TimmTowerConfig: a stage of any timm network that offers feature maps
└── text_config     Qwen2Config
"""

from __future__ import annotations

import math
from typing import Any

from transformers import PreTrainedConfig, Qwen2Config, SiglipVisionConfig

from oqvl_shards.errors import ConfigError

SIGLIP_MEAN = (0.5, 0.5, 0.5)
"""Mean of SigLIP's pixel normalisation, per RGB channel of values in [0, 1]: with `SIGLIP_STD` it maps to [-1, 1]."""

SIGLIP_STD = (0.5, 0.5, 0.5)


class TimmTowerConfig(PreTrainedConfig):
    """A vision tower made of the first stages of a timm network.

    Args:
        architecture: timm's name of the network, e.g. `tf_efficientnet_lite0`.
        image_size: Side of the square input in pixels; a multiple of `feature_stride`.
        feature_stride: Input pixels a feature covers along one axis (timm's "reduction"); it chooses the stage.
        hidden_size: Channels of that stage.
        image_mean: Mean that pixel values in [0, 1] are normalised with, per RGB channel.
        image_std: Standard deviation of the same.
    """

    model_type = "oqvl_timm_tower"
    base_config_key = "vision_config"

    architecture: str = "tf_efficientnet_lite0"
    image_size: int = 224
    feature_stride: int = 32
    hidden_size: int = 320
    image_mean: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)


VISION_CONFIGS: dict[str, type[PreTrainedConfig]] = {
    SiglipVisionConfig.model_type: SiglipVisionConfig,
    TimmTowerConfig.model_type: TimmTowerConfig,
}


class OqvlConfig(PreTrainedConfig):
    """Configuration of `OqvlForConditionalGeneration`.

    Args:
        vision_config: `SiglipVisionConfig`, `TimmTowerConfig`, or the dict of one with its `model_type`.
        text_config: `Qwen2Config`, or its dict.
        image_token_id: Id of the image placeholder; every visual token holds its place in `input_ids`.
        visual_tokens_per_image: Tokens that an image becomes; a square number, at most the patches of the tower's grid.
        projector_hidden_size: Width between the projector's two layers; the decoder's width when None.
        trim_vision_blocks: Final SigLIP blocks that are left out; with 1 the features are the second-to-last block's.

    Raises:
        ConfigError: When the parts do not fit together.
    """

    model_type = "oqvl"
    sub_configs = {"vision_config": PreTrainedConfig, "text_config": Qwen2Config}  # noqa: RUF012  # pyrefly: ignore[bad-override]

    # Dicts and None are accepted and become configurations at once.
    vision_config: Any = None
    text_config: Any = None
    image_token_id: int = 151665
    visual_tokens_per_image: int = 144
    projector_hidden_size: int | None = None
    trim_vision_blocks: int = 1
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Turn the dicts of the parts into configurations and check them."""
        self.vision_config = _vision_config(self.vision_config)
        self.text_config = _text_config(self.text_config)
        # transformers reads this flag at the top when it ties the head to the embedding.
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        check_visual_tokens(self.visual_tokens_per_image, self.grid_size)
        super().__post_init__(**kwargs)

    @property
    def grid_size(self) -> int:
        """Features along one side of the tower's square feature map."""
        vision = self.vision_config
        return vision.image_size // (
            vision.patch_size if isinstance(vision, SiglipVisionConfig) else vision.feature_stride
        )

    @property
    def image_mean(self) -> tuple[float, ...]:
        """Mean of the pixel normalisation, per RGB channel of values in [0, 1]."""
        return tuple(getattr(self.vision_config, "image_mean", SIGLIP_MEAN))

    @property
    def image_std(self) -> tuple[float, ...]:
        """Standard deviation of the pixel normalisation."""
        return tuple(getattr(self.vision_config, "image_std", SIGLIP_STD))


def check_visual_tokens(num_tokens: int, grid_size: int) -> None:
    """Raise `ConfigError` unless a square map with sides of `grid_size` can be pooled to `num_tokens`."""
    side = math.isqrt(max(num_tokens, 0))
    if num_tokens < 1 or side * side != num_tokens or side > grid_size:
        raise ConfigError(
            f"visual_tokens_per_image is {num_tokens}; expected a square number from 1 to {grid_size**2} "
            f"(the tower's map is {grid_size} x {grid_size})",
            hint="the original pre-trains with 144 and fine-tunes with 729 on a 27 x 27 map",
        )


def _text_config(config: dict[str, Any] | Qwen2Config | None) -> Qwen2Config:
    return config if isinstance(config, Qwen2Config) else Qwen2Config(**(config or {}))


def _vision_config(config: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    values = dict(config or {})
    model_type = values.get("model_type", SiglipVisionConfig.model_type)
    if model_type not in VISION_CONFIGS:
        raise ConfigError(f"vision_config.model_type is {model_type!r}; expected one of {sorted(VISION_CONFIGS)}")
    return VISION_CONFIGS[model_type](**values)
