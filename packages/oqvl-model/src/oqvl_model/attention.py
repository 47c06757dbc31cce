"""Causal attention that stays inside documents: the attention implementation `oqvl_documents`.

A pack is one row of tokens, and `cu_seqlens` says where its documents begin and end. Three kernels give equal results:

1. On CUDA in half precision, variable-length flash attention.
2. Elsewhere, if the documents are of similar length, scaled-dot-product attention over all documents at once, each
   padded to the longest.
3. Elsewhere, if that would add too much padding, scaled-dot-product attention over one document after another.

A layer with a sliding window sees at most the last tokens of the same document, in all three kernels. A soft cap on the
scores is refused, because none of the kernels has one.

Without `cu_seqlens`, transformers' own `sdpa` runs, with its masks and caches. A window is in those masks already.

Shape suffixes: B rows, H heads, T tokens per row, E channels per head, D documents, L tokens of the longest document.
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
"""Name of this implementation in transformers' registry."""

NO_MASK_SHAPE = (1, 1, 0, 0)
"""Shape of the empty mask that a packed forward pass gives to a decoder.

transformers hands a mask of four dimensions to every layer as it is. Without one it would build a mask over the whole
row, T x T, which packs do not need.
"""

MAX_PADDING = 2
"""Documents are padded to the longest only if the padded tokens are at most this many times the T tokens."""

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
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each document.

    The signature is the one that transformers expects of an attention function.

    Args:
        module: The attention layer.
        query_BHTE: Queries. With `cu_seqlens` there is one row (B = 1).
        key_BHTE: Keys. If there are fewer key heads than query heads, queries are grouped.
        value_BHTE: Values, with as many heads as the keys.
        attention_mask: transformers' mask for ordinary batches. With `cu_seqlens`, None or an empty mask.
        cu_seqlens: int32 [D + 1], from 0 to T: where each document begins, and where the last one ends. None means an
            ordinary batch.
        max_seqlen: Tokens of the longest document. Required with `cu_seqlens`.
        scaling: Factor applied to the scores. None means 1 / sqrt(E).
        dropout: Probability of dropping an attention weight. Must be 0 with `cu_seqlens`.
        sliding_window: Number of tokens that a token attends to at most, itself included. None means all before it.
            Without `cu_seqlens`, the mask says the same, and this is ignored.
        softcap: Bound on the scores. Must be None.
        **kwargs: Passed to transformers' `sdpa` for ordinary batches.

    Returns:
        The output [B, T, H, E], and None in place of the attention weights.

    Raises:
        UsageError: If there is a soft cap, or if `cu_seqlens` comes with a mask, a cache, dropout or more than one row.
    """
    if softcap is not None:
        raise UsageError(
            f"attention got a soft cap of {softcap} on its scores", hint="take a decoder without attn_logit_softcapping"
        )
    if cu_seqlens is None:
        return sdpa_attention_forward(
            module, query_BHTE, key_BHTE, value_BHTE, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    _refuse_what_leaks(query_BHTE, key_BHTE, attention_mask, dropout)
    if _can_use_varlen(query_BHTE):
        output_THE = _varlen(query_BHTE, key_BHTE, value_BHTE, cu_seqlens, max_seqlen, scaling, sliding_window)
    else:
        lengths = cu_seqlens.diff().tolist()
        pads_little = len(lengths) * max(lengths) <= MAX_PADDING * query_BHTE.shape[2]
        attend = _padded_documents if pads_little else _document_loop
        output_THE = attend(query_BHTE, key_BHTE, value_BHTE, lengths, scaling, sliding_window)
    return output_THE.unsqueeze(0), None


def _refuse_what_leaks(query_BHTE: Tensor, key_BHTE: Tensor, attention_mask: Tensor | None, dropout: float) -> None:
    """Raise `UsageError` for arguments that would let one document see another, or that packs do not support."""
    problems = {
        "an attention mask": attention_mask is not None and attention_mask.numel() > 0,
        "cached keys": key_BHTE.shape[2] != query_BHTE.shape[2],
        f"a batch of {query_BHTE.shape[0]} rows": query_BHTE.shape[0] != 1,
        "attention dropout": dropout != 0.0,
    }
    for problem, is_present in problems.items():
        if is_present:
            raise UsageError(
                f"packed attention got {problem} together with cu_seqlens",
                hint="packs need no mask and no cache; concatenate several packs into one row, and their cu_seqlens",
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
    window: int | None,
) -> Tensor:
    """Run variable-length flash attention; returns [T, H, E]."""
    # The kernel's window counts the tokens before a token, without itself. A window that no document exceeds is left
    # out, because some kernels have none.
    is_windowed = window is not None and (max_seqlen is None or max_seqlen > window)
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
        window_size=(window - 1 if is_windowed else -1, 0),
        **options,
    )


def _padded_documents(
    query_BHTE: Tensor,
    key_BHTE: Tensor,
    value_BHTE: Tensor,
    lengths: Sequence[int],
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Run one attention call over all documents, each padded to the longest; returns [T, H, E]."""
    # The padding comes after a document's tokens, where the causal mask hides it, so no further mask is needed.
    longest = max(lengths)
    places_T = torch.cat([torch.arange(length) + document * longest for document, length in enumerate(lengths)])
    places_T = places_T.to(query_BHTE.device)

    def spread(x_BHTE: Tensor) -> Tensor:
        x_THE = x_BHTE[0].transpose(0, 1)
        padded = x_THE.new_zeros(len(lengths) * longest, *x_THE.shape[1:]).index_copy(0, places_T, x_THE)
        return padded.unflatten(0, (len(lengths), longest)).transpose(1, 2)

    query_DHLE, key_DHLE, value_DHLE = (spread(x_BHTE) for x_BHTE in (query_BHTE, key_BHTE, value_BHTE))
    output_DHLE = _attend(query_DHLE, key_DHLE, value_DHLE, scaling, window)
    return output_DHLE.transpose(1, 2).flatten(0, 1).index_select(0, places_T)


def _document_loop(
    query_BHTE: Tensor,
    key_BHTE: Tensor,
    value_BHTE: Tensor,
    lengths: Sequence[int],
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Run one attention call per document; returns [T, H, E]."""
    documents = zip(*(x_BHTE.split(list(lengths), dim=2) for x_BHTE in (query_BHTE, key_BHTE, value_BHTE)), strict=True)
    outputs_BHTE = [_attend(query, key, value, scaling, window) for query, key, value in documents]
    return torch.cat(outputs_BHTE, dim=2)[0].transpose(0, 1)


def _attend(
    query_DHLE: Tensor, key_DHLE: Tensor, value_DHLE: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """Attend causally within each row, and to at most `window` tokens if given; returns [D, H, L, E]."""
    length = query_DHLE.shape[2]
    mask_LL = None
    if window is not None and window < length:
        mask_LL = torch.ones(length, length, dtype=torch.bool, device=query_DHLE.device).tril().triu(1 - window)
    return scaled_dot_product_attention(
        query_DHLE,
        key_DHLE,
        value_DHLE,
        attn_mask=mask_LL,
        is_causal=mask_LL is None,
        scale=scaling,
        enable_gqa=query_DHLE.shape[1] != key_DHLE.shape[1],
    )


AttentionInterface.register(DOCUMENT_ATTENTION, document_attention)
AttentionMaskInterface.register(DOCUMENT_ATTENTION, sdpa_mask)
