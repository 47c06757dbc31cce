"""The model's configuration as transformers saves it: `config.json`.

    OqvlConfig
    ├── vision_config   SiglipVisionConfig, or TimmTowerConfig for a stage of any timm network with feature maps
    └── text_config     Qwen2Config

The configurations of the commands are in `config.py`.
"""

from __future__ import annotations

import math
from typing import Any

from transformers import PreTrainedConfig, Qwen2Config, SiglipVisionConfig

from oqvl_shards.errors import ConfigError

SIGLIP_MEAN = (0.5, 0.5, 0.5)
"""Mean of SigLIP's pixel normalisation, per RGB channel of values in [0, 1]."""

SIGLIP_STD = (0.5, 0.5, 0.5)
"""Standard deviation of SigLIP's pixel normalisation; with `SIGLIP_MEAN` it maps pixels to [-1, 1]."""


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


_VISION_CONFIGS: dict[str, type[PreTrainedConfig]] = {
    SiglipVisionConfig.model_type: SiglipVisionConfig,
    TimmTowerConfig.model_type: TimmTowerConfig,
}


class OqvlConfig(PreTrainedConfig):
    """Configuration of `OqvlForConditionalGeneration`.

    Args:
        vision_config: `SiglipVisionConfig`, `TimmTowerConfig`, or the dict of either with its `model_type`.
        text_config: `Qwen2Config`, or its dict.
        image_token_id: Id of the image placeholder. `input_ids` holds one placeholder per visual token.
        visual_tokens_per_image: Visual tokens per image: a square number, at most the features of the tower's map.
        projector_hidden_size: Width between the projector's two layers. None means the decoder's width.
        trim_vision_blocks: Number of final SigLIP blocks to leave out. With 1, the features are the output of the
            second-to-last block.

    Raises:
        ConfigError: If the parts do not fit together.
    """

    model_type = "oqvl"
    sub_configs = {"vision_config": PreTrainedConfig, "text_config": Qwen2Config}  # noqa: RUF012  # pyrefly: ignore[bad-override]

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
        self.text_config = _text_config(self.text_config)
        # transformers reads this flag from the top-level configuration when it ties the head to the embedding.
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        check_visual_tokens(self.visual_tokens_per_image, self.grid_size)
        super().__post_init__(**kwargs)

    @property
    def grid_size(self) -> int:
        """Number of features along one side of the tower's square feature map."""
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
        """Standard deviation of the pixel normalisation, per RGB channel."""
        return tuple(getattr(self.vision_config, "image_std", SIGLIP_STD))


def check_visual_tokens(num_tokens: int, grid_size: int) -> None:
    """Raise `ConfigError` unless a square map of `grid_size` features per side can be pooled to `num_tokens`."""
    side = math.isqrt(max(num_tokens, 0))
    if num_tokens < 1 or side * side != num_tokens or side > grid_size:
        raise ConfigError(
            f"visual_tokens_per_image is {num_tokens}; expected a square number from 1 to {grid_size**2} "
            f"(the tower's map is {grid_size} x {grid_size})",
            hint="Open-Qwen2VL pre-trains with 144 and fine-tunes with 729 on a 27 x 27 map",
        )


def _text_config(config: dict[str, Any] | Qwen2Config | None) -> Qwen2Config:
    return config if isinstance(config, Qwen2Config) else Qwen2Config(**(config or {}))


def _vision_config(config: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    values = dict(config or {})
    model_type = values.get("model_type", SiglipVisionConfig.model_type)
    if model_type not in _VISION_CONFIGS:
        raise ConfigError(f"vision_config.model_type is {model_type!r}; expected one of {sorted(_VISION_CONFIGS)}")
    return _VISION_CONFIGS[model_type](**values)
