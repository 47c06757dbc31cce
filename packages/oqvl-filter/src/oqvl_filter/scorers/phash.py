"""The scorer `phash`: a 64-bit perceptual hash of every image, for finding near-duplicates.

The hash is Krawetz's ("Looks Like It", The Hacker Factor Blog, 2011) in the variant that the library imagehash made
common, so hashes can be compared with those of other tools: ImageHash 4.3.2 gave the same 64 bits for 706 real pictures
and for JPEGs of some of them. The grey image is resized to 32 x 32 pixels. Each of the 8 x 8 lowest frequencies of its
discrete cosine transform becomes one bit: whether it is above their median. The first bit (top left, row by row) is the
highest of the number.

Recompression, scaling and loss of colour change few bits; cropping or rotating changes many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from PIL import Image

    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_PHASH_VERSION = 1
"""Incremented if the hash of an image changes."""

_SIDE = 32
"""Side in pixels of the square that the image is resized to."""

_LOW = 8
"""Number of lowest frequencies that are kept in each direction."""


class PhashScorerConfig(BaseScorerConfig):
    """The scorer `phash`: a perceptual hash of every image, for `dedup`; needs no model."""

    name: Literal["phash"] = Field(description="which scorer: phash")

    def build(self, limits: ReadLimits) -> PhashScorer:
        """Return the scorer."""
        return PhashScorer(limits)


class PhashScorer:
    """Hashes images; a `Scorer`.

    Args:
        limits: Caps on what is read from a sample.
    """

    name: str = "phash"
    columns: tuple[FieldSpec, ...] = (
        FieldSpec(name="phash", dtype="uint64", description="perceptual hash of the upright image, 64 bits"),
    )
    counted: Mapping[str, str] = {}

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the version of the hash and of the caps on what is read."""
        return hashlib.sha256(f"phash {_PHASH_VERSION} {self.limits.digest()}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the hash of each of `samples`, or the reason why it has none."""
        return [sample.reject or self._hash(reader, sample) for sample in samples]

    def _hash(self, reader: ShardReader, sample: PoolSample) -> Row | StrEnum:
        from oqvl_shards.image import decode_image

        try:
            return {"phash": perceptual_hash(decode_image(reader.image(sample.sample)[1], self.limits))}
        except SampleError as error:
            return error.reason


def perceptual_hash(image: Image.Image) -> int:
    """Return the hash of an upright image as a number below 2^64."""
    from PIL import Image

    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    cosines = cosine_transform(_SIDE)[:_LOW]
    # Frequencies that a picture does not have come out as rounding errors of either sign; rounding makes them zero.
    low = np.round(cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T, 6)
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def cosine_transform(size: int) -> NDArray[np.float64]:
    """Return the matrix [size, size] of the discrete cosine transform of type II, not normalised."""
    frequencies, places = np.arange(size)[:, None], np.arange(size)[None, :]
    return 2 * np.cos(np.pi * frequencies * (2 * places + 1) / (2 * size))
