"""Scores of pairs from two encoders: cosines of an image's and its caption's embedding.

Each distinct caption of a shard is encoded once. The image's embedding can be kept beside the score, so that one pass
of the model does for `dedup` and for the scorer `aesthetic`, too. N pairs, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.config import PairScorerConfig
from oqvl_filter.pool import PoolSample, shard_numbers
from oqvl_filter.score_file import REJECT_FIELD, arrow_type, read_table, vector_dtype
from oqvl_filter.scorer import Row
from oqvl_filter.scorers.image_pipeline import Preparation, prepared_batches
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Kind
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, SampleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IMAGE_EMBEDDING = "image_embedding"
"""Column of the images' embeddings."""


class ImageEncoder(Protocol):
    """Embeds images."""

    def fingerprint(self) -> str:
        """Return a sha256 of all that decides the embeddings: weights, pre-processing, number format, caps."""
        ...

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


class PairScorer:
    """Scores pairs with the cosine of their two embeddings, and keeps the image's when asked to; a `Scorer`.

    Args:
        name: The scorer's name.
        encoder: The model.
        config: How it is run, and what is kept.
    """

    counted: Mapping[str, str] = {}

    def __init__(self, name: str, encoder: PairEncoder, config: PairScorerConfig) -> None:
        self.name = name
        self.encoder = encoder
        self.config = config

    @cached_property
    def columns(self) -> tuple[FieldSpec, ...]:
        """The score, and the embedding if it is kept; its size is the model's, which is loaded to tell."""
        score = FieldSpec(
            name=f"{self.name}_score", dtype="float32", description="cosine of image and caption embedding, -1 to 1"
        )
        if self.config.image_embedding == "none":
            return (score,)
        dim = self.encoder.encode_captions(["a picture"]).shape[1]
        dtype = vector_dtype(self.config.image_embedding, dim)
        return score, FieldSpec(name=IMAGE_EMBEDDING, dtype=dtype, description="embedding of the image, of length 1")

    def fingerprint(self) -> str:
        """Return the encoder's: whether embeddings are kept moves no score."""
        return self.encoder.fingerprint()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return for each of `samples` its columns, or the reason why it has none."""
        results: list[Any] = [sample.reject for sample in samples]
        captions = read_captions(reader, samples, results)
        texts = _encode_distinct(captions, self.encoder, self.config.batch_size)
        pixels = self.encoder.preparation.pixels
        config = self.config
        for batch in prepared_batches(
            reader, samples, captions, pixels, config.batch_size, config.decode_threads, results
        ):
            images_ND = self.encoder.encode_images([image for _, image in batch])
            texts_ND = np.stack([texts[captions[index]] for index, _ in batch])
            cosines_N = np.einsum("nd,nd->n", images_ND, texts_ND)
            kept_ND = None if config.image_embedding == "none" else images_ND.astype(config.image_embedding)
            for place, (index, _) in enumerate(batch):
                results[index] = {f"{self.name}_score": float(cosines_N[place])}
                if kept_ND is not None:
                    results[index][IMAGE_EMBEDDING] = kept_ND[place]
        return results


class StoredEmbeddings:
    """The column of embeddings in the scores of a pool.

    Args:
        directory: Of the scores.

    Raises:
        ConfigError: When they hold no embeddings.
        ManifestError: When it is no dataset of kind scores.
    """

    def __init__(self, directory: Path) -> None:
        self.scores = open_dataset(directory, Kind.SCORES)
        fields = {field.name: field.dtype for field in self.scores.manifest.fields}
        if IMAGE_EMBEDDING not in fields:
            raise ConfigError(
                f"{directory} has the columns {list(fields)}, expected {IMAGE_EMBEDDING}",
                hint="score the pool with scorer.name=clip scorer.image_embedding=float16",
            )
        self._dtype = fields[IMAGE_EMBEDDING]
        self._numbers: dict[str, int] = {}

    def fingerprint(self) -> str:
        """Return the fingerprint of the model that made them; when they are rounded, a sha256 of it and how."""
        details = self.scores.manifest.details
        assert details.kind == Kind.SCORES
        if arrow_type(self._dtype).value_type == pa.float32():
            return details.fingerprint
        return hashlib.sha256(f"{details.fingerprint} {self._dtype}".encode()).hexdigest()

    def of_shard(
        self, reader: ShardReader, samples: Sequence[PoolSample]
    ) -> Iterator[NDArray[np.float32] | RejectReason]:
        """Yield for each of `samples` its embedding [D], or the reason why there is none.

        Raises:
            ConfigError: When the scores are of other samples.
        """
        self._numbers = self._numbers or shard_numbers(reader)
        number = self._numbers[reader.name]
        shards = self.scores.manifest.shards
        table, places = None, {}
        if number < len(shards):
            columns = ["uid", "key", IMAGE_EMBEDDING, REJECT_FIELD.name]
            table = read_table(self.scores.shard_path(shards[number]), columns)
            identities = zip(table["uid"].to_pylist(), table["key"].to_pylist(), strict=True)
            places = {identity: row for row, identity in enumerate(identities)}
        rows = [places.get((sample.uid.value, sample.sample.key), -1) for sample in samples]
        if table is None or -1 in rows:
            raise ConfigError(
                f"{self.scores.path} are scores of other samples than those of {reader.path}",
                hint="give scores of the same pool",
            )
        embeddings, rejects = table[IMAGE_EMBEDDING].combine_chunks(), table[REJECT_FIELD.name].to_pylist()
        vectors_ND = embeddings.values.to_numpy(zero_copy_only=False).reshape(len(table), -1).astype(np.float32)
        for row in rows:
            yield vectors_ND[row] if rejects[row] is None else RejectReason(rejects[row])


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
