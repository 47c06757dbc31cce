"""A scorer of your own: how colourful is a picture?

    uv run examples/tiny_pool.py pool
    PYTHONPATH=examples uv run oqvl-filter score pool=pool output=scores scorer.name=custom \
        scorer.factory=custom_scorer:ColourfulnessScorer scorer.options.max_side=64
    uv run oqvl-filter select pools=pool scores.colour=scores output=subset keep='colour.colourfulness >= 20'

`scorer.factory` is the dotted path of anything that returns a scorer; `scorer.options` are its arguments. The measure
is that of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (Human Vision and Electronic Imaging VIII,
2003).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from oqvl_shards import Sample, SampleError, ShardReader
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import FieldSpec


class ColourfulnessScorer:
    """Scores pictures from 0 (grey) to above 100 (extremely colourful).

    Args:
        max_side: Pictures are first shrunk to at most this many pixels per side.
    """

    name = "colourfulness"
    columns = (FieldSpec(name="colourfulness", dtype="float32", description="0 is grey; above 80 is very colourful"),)
    counted: Mapping[str, str] = {}  # columns that count over the whole pool: none

    def __init__(self, max_side: int = 256) -> None:
        self.max_side = max_side

    def fingerprint(self) -> str:
        """Return a digest of everything that decides the scores. The lineage records it."""
        return hashlib.sha256(f"colourfulness 1 {self.max_side}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence) -> list[dict[str, float] | str]:
        """Return one row per sample, or the reason why it has none."""
        return [sample.reject or self._score(reader, sample.sample) for sample in samples]

    def _score(self, reader: ShardReader, sample: Sample) -> dict[str, float] | str:
        try:
            image_type, data = reader.image(sample)
            image = decode_image(data, reader.limits, image_type)
        except SampleError as error:  # a named reason; it is stored with the sample and counted
            return error.reason
        return {"colourfulness": colourfulness(image, self.max_side)}


def colourfulness(image: Image.Image, max_side: int) -> float:
    """Return the spread and distance from grey of the colours of `image`."""
    image.thumbnail((max_side, max_side))
    red, green, blue = np.moveaxis(np.asarray(image, dtype=np.float64), -1, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))
