from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from oqvl_filter.scorers.encoder import ModelEncoder, PairScorerConfig, unit_length
from oqvl_filter.scorers.image_pipeline import Preparation
from oqvl_shards.errors import HardwareError
from oqvl_shards.tar.sample import ReadLimits


class SumEncoder(ModelEncoder):
    """Embeds an image by its pixels' sums, and a caption by its letters."""

    extra: ClassVar[str] = "clip"
    loads = 0

    def _weights_identity(self) -> Any:
        return ["sum", 1]

    def _load(self, device: torch.device) -> Any:
        type(self).loads += 1
        return torch.nn.Linear(2, 2, dtype=self.dtype)

    def _make_preparation(self) -> Preparation:
        return Preparation(lambda content: torch.tensor(list(content), dtype=torch.float32))

    def _embed_images(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert pixels_N3HW.dtype == self.dtype
        return pixels_N3HW

    def _embed_captions(self, captions: list[str]) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        return torch.tensor([[float(len(caption)), 1.0] for caption in captions])


def encoder(**values: Any) -> SumEncoder:
    limits = values.pop("limits", ReadLimits())
    return SumEncoder(PairScorerConfig(model="m", **values), limits)


def test_embeddings_have_length_one_in_float32():
    images = encoder().encode_images([encoder().preparation.pixels(content) for content in (b"\x03\x04", b"\x00\x09")])
    assert images.dtype == np.float32
    assert images.tolist() == [pytest.approx([0.6, 0.8]), [0, 1]]
    assert np.linalg.norm(encoder().encode_captions(["a", "bc"]), axis=1) == pytest.approx([1, 1])


def test_a_vector_of_zeros_stays_one():
    assert unit_length(torch.zeros(1, 3)).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_pixels_reach_the_model_in_its_precision(precision: str, dtype: torch.dtype):
    one = encoder(precision=precision)
    assert one.dtype == dtype
    one.encode_images([torch.ones(2)])
    assert one.model.weight.dtype == dtype


def test_the_model_is_loaded_once_and_not_for_the_fingerprint():
    SumEncoder.loads = 0
    one = encoder()
    one.fingerprint()
    assert SumEncoder.loads == 0
    assert one.model is one.model
    assert SumEncoder.loads == 1
    assert not one.model.training


def test_what_moves_a_score_is_in_the_fingerprint_and_nothing_else():
    first = encoder().fingerprint()
    changes: dict[str, Any]
    for changes in ({"decode_threads": 0}, {"device": "cuda"}, {"batch_size": 1}, {"image_embedding": "float16"}):
        assert encoder(**changes).fingerprint() == first
    for changes in ({"precision": "bf16"}, {"decoder": "fast"}):
        assert encoder(**changes).fingerprint() != first
    assert encoder(limits=ReadLimits(min_image_side=5)).fingerprint() != first


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_does_not_exist_is_named_before_the_model_is_loaded(device: str):
    SumEncoder.loads = 0
    with pytest.raises(HardwareError, match=f"the device '{device}' cannot be used"):
        _ = encoder(device=device).model
    assert SumEncoder.loads == 0
