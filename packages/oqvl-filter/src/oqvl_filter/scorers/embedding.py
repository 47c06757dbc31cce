"""Scores of pairs from two encoders: cosines of an image's and its caption's embedding.

Each distinct caption of a shard is encoded once. N pairs, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.pool import PoolSample
from oqvl_filter.scorers.image_pipeline import Preparation, prepared_batches
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import SampleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class ImageEncoder(Protocol):
    """Embeds images."""

    @property
    def preparation(self) -> Preparation:
        """How the model's input is made of image files."""
        ...

    def encode_images(self, pixels: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1 of what `preparation.pixels` has made."""
        ...


class PairEncoder(ImageEncoder, Protocol):
    """Embeds images and captions into one space."""

    def encode_captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        ...


def cosines(
    reader: ShardReader, samples: Sequence[PoolSample], encoder: PairEncoder, batch_size: int, num_threads: int
) -> list[Any]:
    """Return for each of `samples` the cosine of image and caption, or the reason why there is none.

    Args:
        reader: The open shard.
        samples: Its samples.
        encoder: The model.
        batch_size: Images or captions a forward pass.
        num_threads: Threads that decode.
    """
    results: list[Any] = [sample.reject for sample in samples]
    captions = read_captions(reader, samples, results)
    texts = _encode_distinct(captions, encoder, batch_size)
    for batch in prepared_batches(
        reader, samples, captions, encoder.preparation.pixels, batch_size, num_threads, results
    ):
        images_ND = encoder.encode_images([pixels for _, pixels in batch])
        texts_ND = np.stack([texts[captions[index]] for index, _ in batch])
        cosines_N = np.einsum("nd,nd->n", images_ND, texts_ND)
        for (index, _), cosine in zip(batch, cosines_N.tolist(), strict=True):
            results[index] = cosine
    return results


def read_captions(reader: ShardReader, samples: Sequence[PoolSample], results: list[Any]) -> dict[int, str]:
    """Return captions by index of the sample; why there is none goes to `results`."""
    captions = {}
    for index, sample in enumerate(samples):
        if results[index] is None:
            try:
                captions[index] = reader.text(sample.sample)
            except SampleError as error:
                results[index] = error.reason
    return captions


def unit_length(embeddings_ND: torch.Tensor) -> NDArray[np.float32]:
    """Return embeddings [N, D] scaled to length 1, in float32."""
    import torch

    return torch.nn.functional.normalize(embeddings_ND.float(), dim=-1).cpu().numpy()


def _encode_distinct(
    captions: Mapping[int, str], encoder: PairEncoder, batch_size: int
) -> dict[str, NDArray[np.float32]]:
    distinct = sorted(set(captions.values()))
    embeddings: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(distinct), batch_size):
        batch = distinct[start : start + batch_size]
        embeddings.update(zip(batch, encoder.encode_captions(batch), strict=True))
    return embeddings
