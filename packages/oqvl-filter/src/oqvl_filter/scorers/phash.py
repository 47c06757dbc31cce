"""The scorer `phash`: a 64-bit perceptual hash of every image, for finding near-duplicates.

The hash is Krawetz's ("Looks Like It", The Hacker Factor Blog, 2011) in the variant that the library imagehash made
common, so that hashes can be compared with those of other tools; ImageHash 4.3.2 gave 706 real pictures, and JPEGs of
some of them, the same 64 bits. The image in grey is squeezed to 32 x 32 pixels; of the 8 x 8 lowest frequencies of its
discrete cosine transform, a bit each says whether it is above their median. The first bit (top left, row by row) is the
highest of the number.

Recompression, scaling and loss of colour move few bits; a crop or a turn moves many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oqvl_filter.pool import PoolSample
from oqvl_filter.scorer import Row
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, SampleError

PHASH_VERSION = 1
"""Goes up when the hash of an image changes."""

SIDE = 32
"""Pixels that the image is squeezed to, on either side."""

LOW = 8
"""Frequencies that are kept, in either direction."""


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
        return hashlib.sha256(f"phash {PHASH_VERSION} {self.limits.digest()}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return for each of `samples` its hash, or the reason why it has none."""
        return [sample.reject or self._hash(reader, sample) for sample in samples]

    def _hash(self, reader: ShardReader, sample: PoolSample) -> Row | StrEnum:
        try:
            return {"phash": perceptual_hash(decode_image(reader.image(sample.sample)[1], self.limits))}
        except SampleError as error:
            return error.reason


def perceptual_hash(image: Image.Image) -> int:
    """Return the hash of an upright image as a number below 2^64."""
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    cosines = cosine_transform(SIDE)[:LOW]
    # Frequencies that a picture does not have come out as rounding errors of either sign; they are zero.
    low = np.round(cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T, 6)
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def cosine_transform(size: int) -> NDArray[np.float64]:
    """Return the matrix [size, size] of the discrete cosine transform of type II, not normalised."""
    frequencies, places = np.arange(size)[:, None], np.arange(size)[None, :]
    return 2 * np.cos(np.pi * frequencies * (2 * places + 1) / (2 * size))
