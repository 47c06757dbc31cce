"""Shape suffixes as in the module: B rows, H heads, T tokens, E channels per head."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from oqvl_model import attention
from oqvl_model.attention import DOCUMENT_ATTENTION, document_attention
from oqvl_shards.errors import UsageError

MODULE = nn.Module()


def inputs(num_tokens, num_heads=4, num_key_heads=2, device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(num_tokens)
    return [
        torch.randn(1, heads, num_tokens, 8, generator=generator).to(device, dtype)
        for heads in (num_heads, num_key_heads, num_key_heads)
    ]


def bounds(lengths):
    return torch.tensor([0, *lengths]).cumsum(0).int()


def reference(query, key, value, lengths, scaling, window=None):
    """One attention over the whole row with a mask that is causal and block-diagonal, and maybe a band."""
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (document[:, None] == document[None, :]).tril().to(query.device)
    if window is not None:
        place = torch.arange(sum(lengths), device=query.device)
        mask &= place[:, None] - place[None, :] < window
    group_size = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group_size, dim=1) for x in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling).transpose(1, 2)


@pytest.mark.parametrize("max_padding", [0, 2, 100], ids=["never padded", "as it is", "always padded"])
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    num_key_heads=st.sampled_from([1, 2, 4]),
    scaling=st.sampled_from([None, 0.5]),
    window=st.sampled_from([None, 1, 2, 4, 20]),
)
def test_documents_are_attended_to_one_by_one(max_padding, lengths, num_key_heads, scaling, window):
    query, key, value = inputs(sum(lengths), num_key_heads=num_key_heads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "MAX_PADDING", max_padding)
        output, weights = document_attention(
            MODULE,
            query,
            key,
            value,
            None,
            cu_seqlens=bounds(lengths),
            max_seqlen=max(lengths),
            scaling=scaling,
            sliding_window=window,
        )
    assert weights is None
    assert output.shape == (1, sum(lengths), 4, 8)
    torch.testing.assert_close(output, reference(query, key, value, lengths, scaling, window), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("max_padding", [0, 100])
def test_gradients_stay_inside_documents(monkeypatch, max_padding, window):
    monkeypatch.setattr(attention, "MAX_PADDING", max_padding)
    lengths = [3, 1, 5]
    query, key, value = (x.requires_grad_() for x in inputs(9))
    output, _ = document_attention(
        MODULE, query, key, value, None, cu_seqlens=bounds(lengths), max_seqlen=5, sliding_window=window
    )
    (output[:, :4] ** 2).sum().backward()
    found = [cast(torch.Tensor, x.grad).clone() for x in (query, key, value)]
    for x in (query, key, value):
        x.grad = None
    (reference(query, key, value, lengths, None, window)[:, :4] ** 2).sum().backward()
    for gradient, x in zip(found, (query, key, value), strict=True):
        torch.testing.assert_close(gradient, x.grad, atol=1e-6, rtol=1e-5)
        assert not gradient[:, :, 4:].any()


@pytest.mark.parametrize(("window", "kernel_window"), [(None, -1), (5, -1), (2, 1), (1, 0)])
@pytest.mark.parametrize("takes_gqa", [False, True])
def test_the_flash_kernel_is_called_with_its_own_layout(monkeypatch, takes_gqa, window, kernel_window):
    """A stand-in with the kernel's signature, since the kernel itself needs a CUDA device."""
    calls = []

    def kernel(query, key, value, cu_q, cu_k, max_q, max_k, *, scale, window_size, **options):
        calls.append(SimpleNamespace(key=key, max=(max_q, max_k), window=window_size, options=options))
        assert torch.equal(cu_q, cu_k)
        query, key, value = (x.transpose(0, 1)[None] for x in (query, key, value))
        reached = None if window_size[0] < 0 else window_size[0] + 1
        return reference(query, key, value, cu_q.diff().tolist(), scale, reached)[0]

    monkeypatch.setattr(attention, "_varlen_attention", kernel)
    monkeypatch.setattr(attention, "_VARLEN_TAKES_GQA", takes_gqa)
    monkeypatch.setattr(attention, "_can_use_varlen", lambda query: True)
    lengths = [3, 1, 5]
    query, key, value = inputs(9)
    output, _ = document_attention(
        MODULE, query, key, value, None, cu_seqlens=bounds(lengths), max_seqlen=5, sliding_window=window
    )
    torch.testing.assert_close(output, reference(query, key, value, lengths, None, window), atol=1e-6, rtol=1e-5)
    (call,) = calls
    assert call.max == (5, 5)
    assert call.window == (kernel_window, 0)
    assert call.options == ({"enable_gqa": True} if takes_gqa else {})
    assert call.key.shape[1] == (2 if takes_gqa else 4)


@pytest.mark.gpu
@pytest.mark.parametrize("window", [None, 100, 7])
def test_the_flash_kernel_gives_the_same_result(window):
    lengths = [3, 130, 64, 1]
    query, key, value = inputs(sum(lengths), device="cuda", dtype=torch.bfloat16)
    cu_seqlens = bounds(lengths).cuda()
    assert attention._can_use_varlen(query)
    output, _ = document_attention(
        MODULE, query, key, value, None, cu_seqlens=cu_seqlens, max_seqlen=130, sliding_window=window
    )
    expected = reference(query.float(), key.float(), value.float(), lengths, None, window)
    torch.testing.assert_close(output.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.gpu
def test_the_flash_kernel_gives_the_same_gradients_and_no_leak():
    lengths = [300, 70]
    cu_seqlens = bounds(lengths).cuda()

    def gradients(dtype, choose):
        query, key, value = (
            x.to(dtype).requires_grad_() for x in inputs(sum(lengths), device="cuda", dtype=torch.bfloat16)
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "_can_use_varlen", choose)
            output, _ = document_attention(MODULE, query, key, value, None, cu_seqlens=cu_seqlens, max_seqlen=300)
        (output.float()[:, :300] ** 2).sum().backward()
        return [cast(torch.Tensor, x.grad).float() for x in (query, key, value)]

    found = gradients(torch.bfloat16, lambda query: True)
    expected = gradients(torch.float32, lambda query: False)
    for gradient, reference_gradient in zip(found, expected, strict=True):
        assert (gradient - reference_gradient).norm() <= 0.01 * reference_gradient.norm()
        assert not gradient[:, :, 300:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_mask": torch.ones(1, 1, 6, 6)}, "an attention mask"),
        ({"query_BHTE": torch.randn(1, 4, 1, 8)}, "cached keys"),
        ({"dropout": 0.1}, "dropout"),
    ],
)
def test_what_would_leak_is_refused(change, message):
    query, key, value = inputs(6)
    arguments: dict[str, Any] = {
        "query_BHTE": query,
        "key_BHTE": key,
        "value_BHTE": value,
        "attention_mask": None,
        **change,
    }
    with pytest.raises(UsageError, match=message):
        document_attention(MODULE, **{**arguments, **change}, cu_seqlens=bounds([2, 4]), max_seqlen=4)


def test_an_empty_mask_is_none():
    query, key, value = inputs(6)
    options = {"cu_seqlens": bounds([2, 4]), "max_seqlen": 4}
    expected, _ = document_attention(MODULE, query, key, value, None, **options)
    found, _ = document_attention(MODULE, query, key, value, torch.empty(attention.NO_MASK_SHAPE), **options)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("packed", [{}, {"cu_seqlens": bounds([2, 4]), "max_seqlen": 4}])
def test_a_soft_cap_is_refused(packed):
    query, key, value = inputs(6)
    with pytest.raises(UsageError, match="a soft cap of 50"):
        document_attention(MODULE, query, key, value, None, softcap=50.0, **packed)


def test_several_rows_are_refused():
    query, key, value = (x.expand(2, -1, -1, -1) for x in inputs(6))
    with pytest.raises(UsageError, match="2 rows"):
        document_attention(MODULE, query, key, value, None, cu_seqlens=bounds([2, 4]), max_seqlen=4)


def test_transformers_knows_the_implementation():
    assert AttentionInterface()[DOCUMENT_ATTENTION] is document_attention
