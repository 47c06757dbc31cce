"""The scorer `image`: what a picture is, apart from its caption: its size, its shape, how much detail it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    from PIL import Image

    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_IMAGE_VERSION = 1
"""Incremented if a column changes its meaning; scores of two versions have two fingerprints."""

_BATCH_SIZE = 32


class ImageScorerConfig(BaseScorerConfig):
    """The scorer `image`: size, aspect and entropy of the decoded picture."""

    name: Literal["image"] = Field(description="which scorer: image")
    decode_threads: int = Field(
        default=2,
        ge=0,
        description="threads that decode; 0: the main thread decodes",
        json_schema_extra={"lineage": False},
    )

    def build(self, limits: ReadLimits) -> ImageScorer:
        """Return the scorer."""
        return ImageScorer(self, limits)


class ImageScorer:
    """Measures decoded pictures; a `Scorer`. A picture that does not decode to its last pixel has no scores.

    Args:
        config: How many threads decode.
        limits: Caps on what is read from a sample.
    """

    name: str = "image"
    columns: tuple[FieldSpec, ...] = (
        FieldSpec(name="width", dtype="int32", description="width of the upright image in pixels"),
        FieldSpec(name="height", dtype="int32", description="height of the upright image in pixels"),
        FieldSpec(name="min_side", dtype="int32", description="the shorter of the two"),
        FieldSpec(name="aspect", dtype="float32", description="long side over short side"),
        FieldSpec(name="entropy", dtype="float32", description="entropy of the grey values in bits, 0 to 8"),
    )
    counted: Mapping[str, str] = {}

    def __init__(self, config: ImageScorerConfig, limits: ReadLimits) -> None:
        self.config = config
        self.limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the version of the measures and of the caps on what is read."""
        return hashlib.sha256(f"image {_IMAGE_VERSION} {self.limits.digest()}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the columns of each of `samples`, or the reason why it has none."""
        from oqvl_filter.scorers.image_pipeline import prepared_batches

        results: list[Any] = [sample.reject for sample in samples]
        for batch in prepared_batches(
            reader,
            samples,
            [index for index, sample in enumerate(samples) if sample.reject is None],
            self._measure,
            batch_size=_BATCH_SIZE,
            num_threads=self.config.decode_threads,
            results=results,
        ):
            for index, row in batch:
                results[index] = row
        return results

    def _measure(self, content: bytes) -> Row:
        from oqvl_shards.image import decode_image

        image = decode_image(content, self.limits)
        return {
            "width": image.width,
            "height": image.height,
            "min_side": min(image.size),
            "aspect": max(image.size) / min(image.size),
            "entropy": grey_entropy(image),
        }


def grey_entropy(image: Image.Image) -> float:
    """Return the entropy of the distribution of grey values in bits: 0 for one colour, at most 8."""
    counts = np.array(image.convert("L").histogram(), dtype=np.float64)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0
