"""Scores of pairs from the embeddings of image and caption: the cosine of the two.

Each distinct caption of a shard is encoded once. The image's embedding can be stored next to the score, so that one
pass of the model also serves `dedup` and the scorer `aesthetic`. N pairs, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.pool import PoolSample, read_captions, shard_numbers
from oqvl_filter.score_file import REJECT_FIELD, arrow_type, read_table, vector_dtype
from oqvl_filter.scorers.encoder import PairEncoder, PairScorerConfig
from oqvl_filter.scorers.image_pipeline import prepared_batches
from oqvl_filter.scorers.scorer import Row
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Kind
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason

IMAGE_EMBEDDING = "image_embedding"
"""Column of the images' embeddings."""


class PairScorer:
    """Scores pairs with the cosine of their two embeddings, and stores the image's on request; a `Scorer`.

    Args:
        name: The scorer's name.
        encoder: The model.
        config: How it is run, and what is stored.
    """

    counted: Mapping[str, str] = {}

    def __init__(self, name: str, encoder: PairEncoder, config: PairScorerConfig) -> None:
        self.name = name
        self.encoder = encoder
        self.config = config

    @cached_property
    def columns(self) -> tuple[FieldSpec, ...]:
        """The score, and the embedding if it is stored. The size of the embedding is known once the model is loaded."""
        score = FieldSpec(
            name=f"{self.name}_score", dtype="float32", description="cosine of image and caption embedding, -1 to 1"
        )
        if self.config.image_embedding == "none":
            return (score,)
        dim = self.encoder.encode_captions(["a picture"]).shape[1]
        dtype = vector_dtype(self.config.image_embedding, dim)
        return score, FieldSpec(name=IMAGE_EMBEDDING, dtype=dtype, description="embedding of the image, of length 1")

    def fingerprint(self) -> str:
        """Return the encoder's fingerprint: storing embeddings changes no score."""
        return self.encoder.fingerprint()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the columns of each of `samples`, or the reason why it has none."""
        results: list[Any] = [sample.reject for sample in samples]
        captions = read_captions(reader, samples, results)
        texts = _encode_distinct(captions, self.encoder, self.config.batch_size)
        for batch in prepared_batches(
            reader,
            samples,
            captions,
            self.encoder.preparation.pixels,
            batch_size=self.config.batch_size,
            num_threads=self.config.decode_threads,
            results=results,
        ):
            images_ND = self.encoder.encode_images([image for _, image in batch])
            texts_ND = np.stack([texts[captions[index]] for index, _ in batch])
            cosines_N = np.einsum("nd,nd->n", images_ND, texts_ND)
            number_format = self.config.image_embedding
            stored_ND = None if number_format == "none" else images_ND.astype(number_format)
            for row, (index, _) in enumerate(batch):
                results[index] = {f"{self.name}_score": float(cosines_N[row])}
                if stored_ND is not None:
                    results[index][IMAGE_EMBEDDING] = stored_ND[row]
        return results


class StoredEmbeddings:
    """The embeddings that the scores of a pool hold.

    Args:
        directory: Directory of the scores.

    Raises:
        ConfigError: If they hold no embeddings.
        ManifestError: If it is not a dataset of kind scores.
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
        """Return the fingerprint of the model that made them; if they are rounded, a sha256 of it and the rounding."""
        details = self.scores.manifest.details
        assert details.kind == Kind.SCORES
        if arrow_type(self._dtype).value_type == pa.float32():
            return details.fingerprint
        return hashlib.sha256(f"{details.fingerprint} {self._dtype}".encode()).hexdigest()

    def of_shard(
        self, reader: ShardReader, samples: Sequence[PoolSample]
    ) -> Iterator[NDArray[np.float32] | RejectReason]:
        """Yield the embedding [D] of each of `samples`, or the reason why there is none.

        Raises:
            ConfigError: If the scores are about other samples.
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
                f"{self.scores.path} holds scores of other samples than {reader.path}",
                hint="give scores of the same pool",
            )
        embeddings, rejects = table[IMAGE_EMBEDDING].combine_chunks(), table[REJECT_FIELD.name].to_pylist()
        vectors_ND = embeddings.values.to_numpy(zero_copy_only=False).reshape(len(table), -1).astype(np.float32)
        for row in rows:
            yield vectors_ND[row] if rejects[row] is None else RejectReason(rejects[row])


def _encode_distinct(
    captions: Mapping[int, str], encoder: PairEncoder, batch_size: int
) -> dict[str, NDArray[np.float32]]:
    distinct = sorted(set(captions.values()))
    embeddings: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(distinct), batch_size):
        batch = distinct[start : start + batch_size]
        embeddings.update(zip(batch, encoder.encode_captions(batch), strict=True))
    return embeddings
