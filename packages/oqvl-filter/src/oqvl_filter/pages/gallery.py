"""Find samples of a pool by uid and show them: a small JPEG and the caption, or the reason why there is none.

Only what can be seen matters here, so a sample that cannot be read is shown with its reason instead of stopping a page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from oqvl_filter.pool import PoolSample, pool_samples
from oqvl_filter.score_file import read_table
from oqvl_filter.uid_array import parse_uids, sort_uids
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Dataset
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits, SampleError

THUMBNAIL_SIDE = 144
"""Pixels; twice what the page shows, for dense screens."""
MAX_CAPTION = 400
"""Characters of a caption that are shown."""


@dataclass(frozen=True)
class Picture:
    """A sample to look at.

    Args:
        uid: Its 32 hex digits.
        key: Its key in its shard.
        shard: The shard's path below the pool.
        caption: Its text, shortened; empty when there is none.
        source: The thumbnail as a `data:` address; empty when the image cannot be read.
        problem: Why something is missing; empty when nothing is.
    """

    uid: str
    key: str
    shard: str
    caption: str
    source: str
    problem: str


class Gallery:
    """The samples of a pool, found by the row of their uid.

    Args:
        pool: Dataset of kind image_text.
        scores: Any scores of it; they say which sample lies where.
        limits: Caps on what is read from a sample.
    """

    def __init__(self, pool: Dataset, scores: Dataset, limits: ReadLimits) -> None:
        self._pool = pool
        self._limits = limits
        tables = [read_table(scores.shard_path(shard), ["uid"]) for shard in scores.manifest.shards]
        uids = pa.concat_tables(tables)["uid"]
        self.uids, rows_N = sort_uids(parse_uids(uids))
        self._names: pa.ChunkedArray = uids.take(rows_N)
        self._shard_N: NDArray[np.int64] = np.repeat(np.arange(len(tables)), [len(table) for table in tables])[rows_N]

    def pictures(self, rows: Iterable[int]) -> dict[int, Picture]:
        """Return what is to be seen at each of `rows` (places in `uids`); every shard is opened once."""
        wanted: dict[int, dict[str, int]] = {}
        for row in sorted(set(rows)):
            wanted.setdefault(int(self._shard_N[row]), {})[self._names[row].as_py()] = row
        found: dict[int, Picture] = {}
        for index, uids in wanted.items():
            shard = self._pool.manifest.shards[index]
            with ShardReader(self._pool.shard_path(shard), self._limits, name=shard.path) as reader:
                for sample in pool_samples(reader, self._pool.manifest.name):
                    row = uids.get(sample.uid.value)
                    if row is not None and row not in found:
                        found[row] = self._picture(reader, sample)
        return found

    def _picture(self, reader: ShardReader, sample: PoolSample) -> Picture:
        caption = source = problem = ""
        if sample.reject is not None:
            problem = str(sample.reject)
        else:
            try:
                caption = shorten(reader.text(sample.sample))
            except SampleError as error:
                problem = str(error.reason)
            try:
                source = thumbnail(decode_image(reader.image(sample.sample)[1], self._limits))
            except SampleError as error:
                problem = str(error.reason)
        return Picture(sample.uid.value, sample.sample.key, reader.name, caption, source, problem)


def thumbnail(image: Image.Image) -> str:
    """Return `image` as a small JPEG in a `data:` address."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def shorten(caption: str) -> str:
    """Return the beginning of `caption`, with characters that do not print shown as U+FFFD."""
    text = " ".join(caption[: 2 * MAX_CAPTION].split())
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= MAX_CAPTION else text[: MAX_CAPTION - 1] + "…"
