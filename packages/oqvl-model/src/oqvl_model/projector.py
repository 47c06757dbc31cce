"""The projector turns the tower's features into visual tokens: average pooling, then Linear, GELU, Linear.

Shape suffixes: N images, P features of the tower's map (grid * grid), V visual tokens per image, D tower width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from oqvl_model.configuration_oqvl import OqvlConfig, check_visual_tokens


class AveragePool(nn.Module):
    """Adaptive average pooling of a square map, written as one fixed matrix. Does nothing if the sizes are equal.

    The result equals that of `torch.nn.functional.adaptive_avg_pool2d`, and a matrix product runs on every device. The
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
        rows = _pooling_rows(self.grid_size, math.isqrt(self.num_tokens))
        return torch.kron(rows, rows)

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

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return the visual tokens [N, V, text width] of the tower's features [N, P, D]."""
        pooled_NVD = self.pool(features_NPD)
        return self.linear_2(nn.functional.gelu(self.linear_1(pooled_NVD)))


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
