"""From the tower's features to the decoder's embeddings: average pooling, then Linear, GELU, Linear.

Shape suffixes: N images, P features of the tower's map (grid * grid), V visual tokens, D tower width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from oqvl_model.configuration_oqvl import OqvlConfig, check_visual_tokens


class AveragePool(nn.Module):
    """Adaptive average pooling of a square map as one fixed matrix; nothing at all when the sizes are equal.

    The matrix form equals `torch.nn.functional.adaptive_avg_pool2d` and runs as a matrix product on every device; it
    is derived data and is never saved.

    Args:
        grid_size: Side of the map in features.
        num_tokens: Features to leave, a square number.
    """

    def __init__(self, grid_size: int, num_tokens: int) -> None:
        super().__init__()
        check_visual_tokens(num_tokens, grid_size)
        self.grid_size = grid_size
        self.num_tokens = num_tokens
        is_identity = num_tokens == grid_size**2
        self.register_buffer("matrix_VP", None if is_identity else self.make_matrix(), persistent=False)

    def make_matrix(self) -> Tensor:
        """Return the float32 matrix [V, P]."""
        rows = _pooling_rows(self.grid_size, math.isqrt(self.num_tokens))
        return torch.kron(rows, rows)

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return the pooled features [N, V, D] in row order."""
        if self.matrix_VP is None:
            return features_NPD
        return self.matrix_VP.to(features_NPD.dtype) @ features_NPD


class Projector(nn.Module):
    """Pool, then Linear, GELU, Linear; no norm."""

    def __init__(self, config: OqvlConfig) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        hidden_size = config.projector_hidden_size or width
        self.pool = AveragePool(config.grid_size, config.visual_tokens_per_image)
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, hidden_size)
        self.linear_2 = nn.Linear(hidden_size, width)

    def forward(self, features_NPD: Tensor) -> Tensor:
        """Return the embeddings [N, V, text width] of the tower's features [N, P, D]."""
        pooled_NVD = self.pool(features_NPD)
        return self.linear_2(nn.functional.gelu(self.linear_1(pooled_NVD)))


def _pooling_rows(size: int, num_outputs: int) -> Tensor:
    """One axis of adaptive average pooling: output i averages inputs floor(i*s/o) to ceil((i+1)*s/o), [o, s]."""
    # Always on the CPU: a model that is being loaded is built under the meta device first.
    rows = torch.zeros(num_outputs, size, device="cpu")
    for output in range(num_outputs):
        start, end = output * size // num_outputs, -(-(output + 1) * size // num_outputs)
        rows[output, start:end] = 1 / (end - start)
    return rows
