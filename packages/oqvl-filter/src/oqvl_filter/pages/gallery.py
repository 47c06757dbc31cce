"""Find samples of a pool by uid and show them: a small JPEG and the caption, or the reason why there is none.

A sample that cannot be read is shown with its reason and does not stop a page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from oqvl_filter.candidates import Candidates
from oqvl_filter.pool import PoolSample, pool_samples
from oqvl_shards.dataset import Dataset
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, SampleError
from oqvl_shards.uid import array_to_uids

THUMBNAIL_SIDE = 144
"""Long side of a thumbnail in pixels: twice what the page shows, for dense screens."""
MAX_CAPTION = 400
"""Characters of a caption that are shown."""


@dataclass(frozen=True)
class Picture:
    """A sample to look at.

    Args:
        pool: Name of its pool, or label of its benchmark.
        shard: Path of its shard below the pool; empty for a picture of a benchmark.
        key: Its key in its shard, or its name in the benchmark.
        caption: Its text, shortened; empty if there is none.
        source: The thumbnail as a `data:` address; empty if the image cannot be read.
        problem: Why something is missing; empty if nothing is.
        uid: Its uid, 32 hex digits; empty for a picture of a benchmark.
    """

    pool: str
    shard: str
    key: str
    caption: str
    source: str
    problem: str
    uid: str = ""


class Gallery:
    """The samples of pools by their row among the candidates.

    Args:
        pools: Datasets of kind image_text; without pools there are no pictures.
        candidates: Their samples.
        limits: Caps on what is read from a sample.
    """

    def __init__(self, pools: Sequence[Dataset], candidates: Candidates, limits: ReadLimits) -> None:
        self._pools = pools
        self.candidates = candidates
        self._limits = limits

    def pictures(self, rows: Iterable[int]) -> dict[int, Picture]:
        """Return the pictures of `rows` by row. Shards without any of them are not opened if scores tell the shards."""
        pictures: dict[int, Picture] = {}
        rows_N = np.unique(np.fromiter(rows, dtype=np.int64))
        for index, pool in enumerate(self._pools):
            rows_R = rows_N[self.candidates.source_codes[rows_N] == index]
            uids = dict(zip(array_to_uids(self.candidates.uids[rows_R]), rows_R.tolist(), strict=True))
            places = self._likely_shards(index, rows_R)
            by_uid = find_pictures(pool, uids, self._limits, places)
            pictures |= {uids[uid]: picture for uid, picture in by_uid.items()}
        return pictures

    def _likely_shards(self, pool: int, rows_R: NDArray[np.int64]) -> list[int]:
        """Return the numbers of the shards that hold rows of a pool, assuming one score file per shard."""
        files = self.candidates.named_by[pool].manifest.shards
        places = rows_R if self.candidates.rows is None else self.candidates.rows[rows_R]
        places = places - sum(self.candidates.pool_sizes[:pool])
        ends = np.cumsum([file.num_samples for file in files])
        return np.unique(np.searchsorted(ends, places, side="right")).tolist()


def find_pictures(
    pool: Dataset, uids: Iterable[str], limits: ReadLimits, likely_shards: Sequence[int] = ()
) -> dict[str, Picture]:
    """Return the pictures of the samples `uids` in `pool` by uid, of the first sample if several share a uid.

    Args:
        pool: Dataset of kind image_text.
        uids: 32 hex digits each.
        limits: Caps on what is read from a sample.
        likely_shards: Numbers of the shards to search before all others.
    """
    shards = pool.manifest.shards
    likely = [index for index in likely_shards if index < len(shards)]
    wanted, found = set(uids), {}
    for index in dict.fromkeys([*likely, *range(len(shards))]):
        if not wanted:
            break
        with ShardReader(pool.whole_shard_path(shards[index]), limits, name=shards[index].path) as reader:
            for sample in pool_samples(reader, pool.manifest.name):
                if sample.uid.value in wanted:
                    found[sample.uid.value] = _picture(pool.manifest.name, reader, sample, limits)
                    wanted.remove(sample.uid.value)
    return found


def _picture(pool: str, reader: ShardReader, sample: PoolSample, limits: ReadLimits) -> Picture:
    """Return what a page shows of a sample; what cannot be read is left empty, with the reason."""
    caption = source = problem = ""
    if sample.reject is not None:
        problem = str(sample.reject)
    else:
        try:
            caption = shorten(reader.text(sample.sample))
        except SampleError as error:
            problem = str(error.reason)
        try:
            source = thumbnail(decode_image(reader.image(sample.sample)[1], limits))
        except SampleError as error:
            problem = str(error.reason)
    return Picture(
        pool=pool,
        shard=reader.name,
        key=shorten(sample.sample.key),
        caption=caption,
        source=source,
        problem=problem,
        uid=sample.uid.value,
    )


def picture_of_file(label: str, name: str, content: bytes, limits: ReadLimits) -> Picture:
    """Return what a page shows of a picture of a benchmark.

    Args:
        label: Label of the benchmark.
        name: Name of the picture.
        content: The image file.
        limits: Caps on what is read from it.
    """
    source = problem = ""
    try:
        source = thumbnail(decode_image(content, limits))
    except SampleError as error:
        problem = str(error.reason)
    return Picture(pool=label, shard="", key=shorten(name), caption="", source=source, problem=problem)


def thumbnail(image: Image.Image) -> str:
    """Return `image` as a small JPEG in a `data:` address."""
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def shorten(caption: str) -> str:
    """Return the beginning of foreign text, with U+FFFD for characters that do not print."""
    text = " ".join(caption[: 2 * MAX_CAPTION].split())
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= MAX_CAPTION else text[: MAX_CAPTION - 1] + "…"
