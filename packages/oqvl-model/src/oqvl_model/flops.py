"""Floating-point operations of the model, computed from shapes. MFU and cost estimates are based on them.

What counts:

- A multiplication and an addition count as two operations.
- Matrix products and convolutions count; element-wise work does not.
- Attention counts the token pairs that the causal mask allows within each document: n(n + 1) / 2 for n tokens. A layer
  with a sliding window of w tokens has (n - w)(n - w + 1) / 2 fewer, if n exceeds w.
- In the backward pass, a product counts once for the gradient of its input and once for the gradient of its weight, if
  these are needed.
- Recomputed activations never count, because they are not part of the model's work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

import torch

from oqvl_model.configuration_oqvl import OqvlConfig, TimmTowerConfig
from oqvl_model.decoder import layer_windows


@dataclass(frozen=True)
class FlopCount:
    """Floating-point operations per part of the model."""

    vision: float
    projector: float
    decoder: float
    attention: float
    head: float

    @property
    def total(self) -> float:
        """The sum over all parts."""
        return sum(astuple(self))


def training_flops(
    config: OqvlConfig,
    *,
    document_lengths: Sequence[int],
    num_images: int,
    num_logits: int,
    trainable: Collection[str],
    image_tokens: Sequence[int] | None = None,
) -> FlopCount:
    """Return the operations of one forward and backward pass.

    Args:
        config: The model's configuration.
        document_lengths: Tokens of each document, including visual tokens.
        num_images: Number of images that the tower encodes.
        num_logits: Number of positions at which the head runs.
        trainable: The parts to train: any of `vision`, `projector` and `text`.
        image_tokens: Number of visual tokens that the projector makes of each image. None means `num_images` images
            with the model's own number.
    """
    if image_tokens is None:
        image_tokens = [config.visual_tokens_per_image] * num_images
    forward = forward_flops(
        config,
        document_lengths=document_lengths,
        num_images=num_images,
        num_logits=num_logits,
        image_tokens=image_tokens,
    )
    trains_vision, trains_projector, trains_text = (part in trainable for part in ("vision", "projector", "text"))
    # The backward pass goes back to the first trained part. The pixels, which are the tower's input, have no gradient.
    reaches_text, reaches_projector = True, trains_vision or trains_projector
    first, second, pool = _projector_flops(config, image_tokens)
    return FlopCount(
        vision=vision_flops(config, trains=trains_vision) * num_images,
        projector=pool * (2 if trains_vision else 1)
        + first * (1 + trains_projector + trains_vision)
        + second * (1 + trains_projector + reaches_projector),
        decoder=forward.decoder * (1 + trains_text + reaches_text),
        attention=forward.attention * (1 + 2 * reaches_text),
        head=forward.head * (1 + trains_text + reaches_text),
    )


def forward_flops(
    config: OqvlConfig,
    *,
    document_lengths: Sequence[int],
    num_images: int,
    num_logits: int,
    image_tokens: Sequence[int] | None = None,
) -> FlopCount:
    """Return the operations of one forward pass; see `training_flops` for the arguments."""
    text = config.text_config
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    query_width, key_width = text.num_attention_heads * head_dim, text.num_key_value_heads * head_dim
    weights_per_layer = text.hidden_size * (2 * query_width + 2 * key_width + 3 * text.intermediate_size)
    num_pairs = sum(_num_pairs(length, window) for window in layer_windows(text) for length in document_lengths)
    if image_tokens is None:
        image_tokens = [config.visual_tokens_per_image] * num_images
    return FlopCount(
        vision=vision_flops(config) * num_images,
        projector=sum(_projector_flops(config, image_tokens)),
        decoder=2 * text.num_hidden_layers * weights_per_layer * sum(document_lengths),
        attention=4 * query_width * num_pairs,
        head=2 * text.hidden_size * text.vocab_size * num_logits,
    )


def vision_flops(config: OqvlConfig, *, trains: bool = False) -> float:
    """Return the operations of the vision tower for one image.

    Args:
        config: The model's configuration.
        trains: Whether to add a backward pass.
    """
    vision = config.vision_config
    if isinstance(vision, TimmTowerConfig):
        return _measured_flops(
            vision.architecture, vision.image_size, vision.feature_stride, vision.hidden_size, trains
        )
    return _transformer_flops(config, trains)


def _num_pairs(length: int, window: int | None) -> int:
    """Return the number of pairs (token, token it attends to) in a document of `length` tokens."""
    num_hidden = 0 if window is None else max(length - window, 0)
    return (length * (length + 1) - num_hidden * (num_hidden + 1)) // 2


def _transformer_flops(config: OqvlConfig, trains: bool) -> float:
    """Return the operations of a transformer tower for one image."""
    vision, num_patches = config.vision_config, config.grid_size**2
    num_blocks = vision.num_hidden_layers - config.trim_vision_blocks
    num_tokens = num_patches + config.num_prefix_tokens
    width = vision.hidden_size
    embedding = 2 * num_patches * width * vision.num_channels * vision.patch_size**2
    products = 2 * num_tokens * (4 * width * width + _mlp_weights(vision))
    attention = 4 * num_tokens**2 * width
    return embedding * (2 if trains else 1) + num_blocks * (products + attention) * (3 if trains else 1)


def _mlp_weights(vision: Any) -> int:
    """Return the number of weights, without biases, of the MLP of one block."""
    if not hasattr(vision, "mlp_ratio"):
        return 2 * vision.hidden_size * vision.intermediate_size
    inner = int(vision.hidden_size * vision.mlp_ratio)
    if not vision.use_swiglu_ffn:
        return 2 * vision.hidden_size * inner
    # DINOv2-giant has three matrices of two thirds the width, rounded up to a multiple of 8.
    return 3 * vision.hidden_size * ((int(inner * 2 / 3) + 7) // 8 * 8)


@lru_cache
def _measured_flops(architecture: str, image_size: int, feature_stride: int, hidden_size: int, trains: bool) -> float:
    """Count a timm tower's operations by running it on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    from oqvl_model.vision import TimmTower

    config = TimmTowerConfig(
        architecture=architecture, image_size=image_size, feature_stride=feature_stride, hidden_size=hidden_size
    )
    with torch.device("meta"), torch.set_grad_enabled(trains), FlopCounterMode(display=False) as counter:
        features = TimmTower(config)(torch.empty(1, 3, image_size, image_size))
        if trains:
            features.sum().backward()
    return counter.get_total_flops()


def _projector_flops(config: OqvlConfig, image_tokens: Sequence[int]) -> tuple[float, float, float]:
    """Return the forward operations of the projector's first layer, its second layer, and the pooling."""
    num_features, num_tokens = config.grid_size**2, sum(image_tokens)
    width, text_width = config.vision_config.hidden_size, config.text_config.hidden_size
    hidden = config.projector_hidden_size or text_width
    num_pooled = sum(number for number in image_tokens if number != num_features)
    return (
        2.0 * num_tokens * width * hidden,
        2.0 * num_tokens * hidden * text_width,
        2.0 * num_pooled * num_features * width,
    )
