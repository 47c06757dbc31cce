"""The scorer `aesthetic`: how well people would like a picture, by a linear head on its CLIP embedding.

After LAION's aesthetic predictor (Schuhmann et al., 2022, arXiv 2210.08402, section 5): the head was fitted to people's
ratings from 1 to 10 on embeddings of length 1. It belongs to one CLIP model, and the scale of the score is the head's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from oqvl_filter.scorers.clip import OpenClipConfig, OpenClipEncoder
from oqvl_filter.scorers.scorer import Row
from oqvl_filter.scorers.weights import digest_file
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, require_extra
from oqvl_shards.manifest import FieldSpec, Kind, Manifest
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader


class AestheticScorerConfig(OpenClipConfig):
    """The scorer `aesthetic`: a linear head on the image embedding of an open_clip model."""

    name: Literal["aesthetic"] = Field(description="which scorer: aesthetic")
    head: Path = Field(
        description="the head: a safetensors file of one matrix (1, D) and one vector (1,)",
        json_schema_extra={"lineage": False},
    )
    model: str = Field(
        default="",
        description="open_clip model: a name, hf-hub:ORGANISATION/NAME, or local-dir:PATH; empty: give embeddings",
        json_schema_extra={"lineage": False},
    )
    embeddings: Path | None = Field(
        default=None,
        description="scores of the same pool, made with scorer.image_embedding, in place of a model; no image is read",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.model) == (self.embeddings is not None):
            raise ValueError("give either model, to embed the images, or stored embeddings")
        return self

    def build(self, limits: ReadLimits) -> AestheticScorer:
        """Return the scorer; a model is loaded when it is first needed."""
        return AestheticScorer(self, limits)

    def parents(self) -> list[Manifest]:
        """Return the manifest of the stored embeddings, or of a data filtering network."""
        if self.embeddings is not None:
            return [open_dataset(self.embeddings, Kind.SCORES).manifest]
        return super().parents()


class AestheticScorer:
    """Scores pictures with a linear head on their embeddings; a `Scorer`. Captions are not read.

    Args:
        config: The head, and the model or the stored embeddings.
        limits: Caps on what is read from a sample.

    Raises:
        ConfigError: If there is no head at its path, or the scores hold no embeddings.
        ManifestError: If `config.embeddings` is not a dataset of kind scores.
    """

    name: str = "aesthetic"
    columns: tuple[FieldSpec, ...] = (
        FieldSpec(name="aesthetic_score", dtype="float32", description="the head's rating of the picture"),
    )
    counted: Mapping[str, str] = {}

    def __init__(self, config: AestheticScorerConfig, limits: ReadLimits) -> None:
        from oqvl_filter.scorers.embedding import StoredEmbeddings

        if not config.head.is_file():
            raise ConfigError(f"there is no aesthetic head at {config.head}", hint="check scorer.head=")
        self.config = config
        self.encoder = OpenClipEncoder(config, limits)
        self.stored = None if config.embeddings is None else StoredEmbeddings(config.embeddings)

    def fingerprint(self) -> str:
        """Return a sha256 of the model and the head; embeddings stored in float32 count as their model."""
        embeddings = self.encoder.fingerprint() if self.stored is None else self.stored.fingerprint()
        settings = ["aesthetic", embeddings, digest_file(self.config.head)]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the score of each of `samples`, or the reason why it has none."""
        from oqvl_filter.scorers.image_pipeline import prepared_batches

        if self.stored is not None:
            embeddings = self.stored.of_shard(reader, samples)
            return [result if isinstance(result, StrEnum) else self._rate(result) for result in embeddings]
        results: list[Any] = [sample.reject for sample in samples]
        for batch in prepared_batches(
            reader,
            samples,
            [index for index, sample in enumerate(samples) if sample.reject is None],
            self.encoder.preparation.pixels,
            batch_size=self.config.batch_size,
            num_threads=self.config.decode_threads,
            results=results,
        ):
            embeddings_ND = self.encoder.encode_images([pixels for _, pixels in batch])
            for (index, _), embedding_D in zip(batch, embeddings_ND, strict=True):
                results[index] = self._rate(embedding_D)
        return results

    def _rate(self, embedding_D: NDArray[np.float32]) -> Row:
        weight_D, bias = self._head
        if len(embedding_D) != len(weight_D):
            raise ConfigError(
                f"{self.config.head} is a head for {len(weight_D)} dimensions, "
                f"{self.config.model or self.config.embeddings} has {len(embedding_D)}",
                hint="a head belongs to one CLIP model",
            )
        return {"aesthetic_score": float(embedding_D @ weight_D) + bias}

    @cached_property
    def _head(self) -> tuple[NDArray[np.float32], float]:
        return read_head(self.config.head)


def read_head(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return the weight [D] and the bias of a linear head: a safetensors file of one matrix [1, D] and one vector [1].

    Raises:
        MissingExtraError: If the extra `clip` is not installed.
        ConfigError: If the file holds anything else.
    """
    with require_extra("oqvl-filter", "clip"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path} is not a readable safetensors file: {error}") from error
    shapes = {name: tensor.shape for name, tensor in sorted(tensors.items())}
    weights = [tensor for tensor in tensors.values() if tensor.ndim == 2 and tensor.shape[0] == 1]
    biases = [tensor for tensor in tensors.values() if tensor.shape == (1,)]
    if len(tensors) != 2 or len(weights) != 1 or len(biases) != 1:
        raise ConfigError(f"{path} holds {shapes}, expected one tensor (1, D) and one (1,)")
    return weights[0][0].astype(np.float32), float(biases[0][0])
