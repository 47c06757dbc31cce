"""The projector turns the tower's features into visual tokens: average pooling, then Linear, GELU, Linear.

Shape suffixes: N images, P features of the tower's map (grid * grid), V visual tokens per image, X visual tokens of all
images, D tower width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oqvl_model.configuration_oqvl import OqvlConfig, check_visual_tokens


class AveragePool(nn.Module):
    """Adaptive average pooling of a square map, written as one fixed matrix. Does nothing if the sizes are equal.

    The result equals that of `torch.nn.functional.adaptive_avg_pool2d`, but a matrix product runs on every device. The
    matrix follows from the sizes and is never saved.

    Args:
        grid_size: Side of the map in features.
        num_tokens: Number of features to pool to, a square number.

    Raises:
        ConfigError: If `num_tokens` is not a square number, or exceeds the number of features of the map.
    """

    def __init__(self, grid_size: int, num_tokens: int) -> None:
        super().__init__()
        check_visual_tokens(num_tokens, grid_size)
        self.grid_size = grid_size
        self.num_tokens = num_tokens
        is_identity = num_tokens == grid_size**2
        self.register_buffer("matrix_VP", None if is_identity else self.make_matrix(), persistent=False)

    def make_matrix(self) -> Tensor:
        """Return the pooling matrix, float32 [V, P]."""
        return _pooling_matrix(self.grid_size, self.num_tokens)

    def pool_each(self, features_NPD: Tensor, image_tokens: Sequence[int]) -> Tensor:
        """Return the features [X, D] of all images, each pooled to its own number, one image after another.

        Raises:
            ConfigError: If a number is not a square number, or exceeds the number of features of the map.
        """
        pooled: list[Tensor] = [features_NPD.new_empty(0)] * len(image_tokens)
        for num_tokens in sorted(set(image_tokens)):
            check_visual_tokens(num_tokens, self.grid_size)
            members = [image for image, number in enumerate(image_tokens) if number == num_tokens]
            features = features_NPD[members]
            if num_tokens != self.grid_size**2:
                features = _pooling_matrix(self.grid_size, num_tokens).to(features) @ features
            for image, image_VD in zip(members, features, strict=True):
                pooled[image] = image_VD
        return torch.cat(pooled) if pooled else features_NPD.flatten(0, 1)

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return the pooled features [N, V, D], in row order."""
        if self.matrix_VP is None:
            return features_NPD
        return self.matrix_VP.to(features_NPD.dtype) @ features_NPD


class Projector(nn.Module):
    """Average pooling, then Linear, GELU, Linear, without a norm.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: OqvlConfig) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        hidden_size = config.projector_hidden_size or width
        self.pool = AveragePool(config.grid_size, config.visual_tokens_per_image)
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, hidden_size)
        self.linear_2 = nn.Linear(hidden_size, width)

    def forward(self, features_NPD: Tensor, image_tokens: Sequence[int] | None = None) -> Tensor:
        """Return the visual tokens of the tower's features [N, P, D].

        Args:
            features_NPD: The features.
            image_tokens: Number of visual tokens of each image. None means the configured number for all.

        Returns:
            [N, V, text width], or [X, text width] if `image_tokens` is given.
        """
        pooled = self.pool(features_NPD) if image_tokens is None else self.pool.pool_each(features_NPD, image_tokens)
        return self.linear_2(nn.functional.gelu(self.linear_1(pooled)))


def _pooling_matrix(grid_size: int, num_tokens: int) -> Tensor:
    """Return the matrix, float32 [V, P], that pools a square map in row order."""
    rows = _pooling_rows(grid_size, math.isqrt(num_tokens))
    return torch.kron(rows, rows)


def _pooling_rows(size: int, num_outputs: int) -> Tensor:
    """Return the matrix [num_outputs, size] that pools one axis.

    Output i averages the inputs from floor(i * size / num_outputs) up to ceil((i + 1) * size / num_outputs).
    """
    # Always on the CPU, because transformers builds a model on the meta device before it loads the weights.
    rows = torch.zeros(num_outputs, size, device="cpu")
    for output in range(num_outputs):
        start, end = output * size // num_outputs, -(-(output + 1) * size // num_outputs)
        rows[output, start:end] = 1 / (end - start)
    return rows
