"""An exact bag of words inside a one-layer text transformer of open_clip: nothing is trained, the weights are set.

The wanted text embedding is a sum over the caption's tokens, `constant + sum(vectors[token])`, up to its length (a
cosine only depends on the direction). One attention layer can compute that. The last position attends to every token
with weight proportional to `|vector|` and averages the unit vectors:

    sum(|v| * v / |v|) / sum(|v|)   is the wanted sum up to its length

The start-of-text token, which every caption has once, carries the constant. Layer norms must not change anything, so
every token's hidden vector has mean 0 and variance 1 from the start: the second half is the negative of the first half,
and one coordinate fills up the length.

    coordinate    0 .. K-1               K                       K+1       K+2 .. 2K+3
    holds         direction of vector    log |vector|, scaled    filler    the same, negative

A caption of nothing but unknown tokens is embedded as the constant. Shape suffixes: V vocabulary, K embedding, W = 2K +
4 width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from open_clip.transformer import TextTransformer
    from torch import Tensor

_LOG_RANGE = 20.0
"""Attention weights span e^20: a token that should count for nothing gets e^-20 of the largest weight."""


def text_width(embed_dim: int) -> int:
    """Return the width of a text transformer that can hold a bag of words of `embed_dim` dimensions."""
    return 2 * (embed_dim + 2)


def write_bag_of_words(tower: TextTransformer, vectors_VK: Tensor, constant_K: Tensor, start_token: int) -> None:
    """Set the weights of `tower` so that it embeds a caption as `constant + sum of the vectors of its tokens`.

    Args:
        tower: A causal text transformer with one layer, one head, width `text_width(K)` and output dimension K that
            pools at the end-of-text token.
        vectors_VK: One vector per token; zero for tokens without a meaning, such as the end-of-text token.
        constant_K: Added once to every caption.
        start_token: Id of the token that every caption begins with.
    """
    import torch

    embed_dim, half, width = len(constant_K), len(constant_K) + 2, text_width(len(constant_K))
    assert tower.width == width and len(tower.transformer.resblocks) == 1 and tower.heads == 1, "see Args"
    vectors_VK = vectors_VK.double().clone()
    vectors_VK[start_token] = constant_K.double()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.zero_()
        hidden_VH = torch.zeros(len(vectors_VK), half, dtype=torch.float64)
        lengths_V = vectors_VK.norm(dim=1)
        hidden_VH[:, :embed_dim] = vectors_VK * ((half / 2) ** 0.5 / lengths_V.clamp(min=1e-30)).unsqueeze(1)
        log_weights_V = (lengths_V / lengths_V.max()).clamp(min=1e-30).log().clamp(min=-_LOG_RANGE)
        hidden_VH[:, embed_dim] = log_weights_V / _LOG_RANGE
        hidden_VH[:, embed_dim + 1] = (half - hidden_VH.square().sum(dim=1)).sqrt()
        tower.token_embedding.weight.copy_(torch.cat([hidden_VH, -hidden_VH], dim=1))
        block: Any = tower.transformer.resblocks[0]
        projection: Any = tower.text_projection
        norms: tuple[Any, ...] = (block.ln_1, block.ln_2, tower.ln_final)
        for norm in norms:
            norm.weight.fill_(1)
        query_weight, key_weight, value_weight = block.attn.in_proj_weight.split(width)
        del query_weight  # stays zero: the query is the same everywhere
        block.attn.in_proj_bias[0] = 1
        key_weight[0, embed_dim] = _LOG_RANGE * width**0.5  # cancels attention's scaling by 1 / sqrt(width)
        directions = torch.arange(embed_dim)
        value_weight[directions, directions] = 1
        block.attn.out_proj.weight[directions, directions] = 1
        block.attn.out_proj.weight[directions + half, directions] = -1
        projection[directions, directions] = 1
