"""Causal attention that stays inside documents: the attention implementation `oqvl_documents`.

A pack is one row of tokens; `cu_seqlens` says where its documents begin and end. The same result comes from
variable-length flash attention on CUDA in half precision, and anywhere else from scaled-dot-product attention: over all
documents at once, padded to the longest, where that pads little, and over one after the other where it pads much. When
no `cu_seqlens` is passed, transformers' own `sdpa` works with its masks and caches.

Shape suffixes: B rows, H heads, T tokens of a row, E channels of a head, D documents, L tokens of the longest document.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from oqvl_shards.errors import UsageError

try:
    from torch.nn.attention import varlen
except ImportError:
    varlen = None

DOCUMENT_ATTENTION = "oqvl_documents"
"""Name of the implementation in transformers' registry."""

MAX_PADDING = 2
"""Documents are padded to the longest while that makes of T tokens no more than this many times T."""

_varlen_attention: Any = None if varlen is None else varlen.varlen_attn
_VARLEN_TAKES_GQA = varlen is not None and "enable_gqa" in inspect.signature(_varlen_attention).parameters


def document_attention(
    module: nn.Module,
    query_BHTE: Tensor,
    key_BHTE: Tensor,
    value_BHTE: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seqlens: Tensor | None = None,
    max_seqlen: int | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each document; the signature is that of transformers' attention functions.

    Args:
        module: The attention layer.
        query_BHTE: Queries; one row (B = 1) when `cu_seqlens` is given.
        key_BHTE: Keys; fewer heads than queries mean grouped queries.
        value_BHTE: Values, as many heads as keys.
        attention_mask: transformers' mask for ordinary batches; None with `cu_seqlens`.
        cu_seqlens: int32 [documents + 1], 0 to T; None for an ordinary batch.
        max_seqlen: Tokens of the longest document; needed with `cu_seqlens`.
        scaling: Factor on the scores; the inverse root of E when None.
        dropout: Probability of dropping a weight; only 0 with `cu_seqlens`.
        **kwargs: Passed on to transformers' `sdpa` for ordinary batches.

    Returns:
        The output [B, T, H, E], and None in place of the weights.

    Raises:
        UsageError: When a mask, a cache, dropout or several rows come with `cu_seqlens`.
    """
    if cu_seqlens is None:
        return sdpa_attention_forward(
            module, query_BHTE, key_BHTE, value_BHTE, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    _refuse_what_leaks(query_BHTE, key_BHTE, attention_mask, dropout)
    if _can_use_varlen(query_BHTE):
        output_THE = _varlen(query_BHTE, key_BHTE, value_BHTE, cu_seqlens, max_seqlen, scaling)
    else:
        lengths = cu_seqlens.diff().tolist()
        is_even = len(lengths) * max(lengths) <= MAX_PADDING * query_BHTE.shape[2]
        attend = _padded_documents if is_even else _document_loop
        output_THE = attend(query_BHTE, key_BHTE, value_BHTE, lengths, scaling)
    return output_THE.unsqueeze(0), None


def _refuse_what_leaks(query_BHTE: Tensor, key_BHTE: Tensor, attention_mask: Tensor | None, dropout: float) -> None:
    problems = {
        "an attention mask": attention_mask is not None,
        "cached keys": key_BHTE.shape[2] != query_BHTE.shape[2],
        f"a batch of {query_BHTE.shape[0]} rows": query_BHTE.shape[0] != 1,
        "attention dropout": dropout != 0.0,
    }
    for problem, found in problems.items():
        if found:
            raise UsageError(
                f"packed attention was given {problem} together with cu_seqlens",
                hint="packs need no mask and no cache; join several packs into one row with joined cu_seqlens",
            )


def _can_use_varlen(query_BHTE: Tensor) -> bool:
    return _varlen_attention is not None and query_BHTE.is_cuda and query_BHTE.dtype in (torch.float16, torch.bfloat16)


def _varlen(
    query_BHTE: Tensor,
    key_BHTE: Tensor,
    value_BHTE: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int | None,
    scaling: float | None,
) -> Tensor:
    query_THE, key_THE, value_THE = (x_BHTE[0].transpose(0, 1) for x_BHTE in (query_BHTE, key_BHTE, value_BHTE))
    options: dict[str, Any] = {}
    if _VARLEN_TAKES_GQA:
        options["enable_gqa"] = query_THE.shape[1] != key_THE.shape[1]
    else:
        group_size = query_THE.shape[1] // key_THE.shape[1]
        key_THE, value_THE = (x_THE.repeat_interleave(group_size, dim=1) for x_THE in (key_THE, value_THE))
    return _varlen_attention(
        query_THE.contiguous(),
        key_THE.contiguous(),
        value_THE.contiguous(),
        cu_seqlens,
        cu_seqlens,
        max_seqlen,
        max_seqlen,
        scale=scaling,
        window_size=(-1, 0),
        **options,
    )


def _padded_documents(
    query_BHTE: Tensor, key_BHTE: Tensor, value_BHTE: Tensor, lengths: Sequence[int], scaling: float | None
) -> Tensor:
    # Padding comes after a document's tokens, where causality hides it: no mask is needed.
    longest = max(lengths)
    places_T = torch.cat([torch.arange(length) + document * longest for document, length in enumerate(lengths)])
    places_T = places_T.to(query_BHTE.device)

    def spread(x_BHTE: Tensor) -> Tensor:
        x_THE = x_BHTE[0].transpose(0, 1)
        padded = x_THE.new_zeros(len(lengths) * longest, *x_THE.shape[1:]).index_copy(0, places_T, x_THE)
        return padded.unflatten(0, (len(lengths), longest)).transpose(1, 2)

    grouped = query_BHTE.shape[1] != key_BHTE.shape[1]
    query_DHLE, key_DHLE, value_DHLE = (spread(x_BHTE) for x_BHTE in (query_BHTE, key_BHTE, value_BHTE))
    output_DHLE = scaled_dot_product_attention(
        query_DHLE, key_DHLE, value_DHLE, is_causal=True, scale=scaling, enable_gqa=grouped
    )
    return output_DHLE.transpose(1, 2).flatten(0, 1).index_select(0, places_T)


def _document_loop(
    query_BHTE: Tensor, key_BHTE: Tensor, value_BHTE: Tensor, lengths: Sequence[int], scaling: float | None
) -> Tensor:
    grouped = query_BHTE.shape[1] != key_BHTE.shape[1]
    documents = zip(*(x_BHTE.split(list(lengths), dim=2) for x_BHTE in (query_BHTE, key_BHTE, value_BHTE)), strict=True)
    outputs_BHTE = [
        scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
        for query, key, value in documents
    ]
    return torch.cat(outputs_BHTE, dim=2)[0].transpose(0, 1)


AttentionInterface.register(DOCUMENT_ATTENTION, document_attention)
AttentionMaskInterface.register(DOCUMENT_ATTENTION, sdpa_mask)
