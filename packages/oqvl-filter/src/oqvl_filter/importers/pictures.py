"""Evaluation pictures as a pool, so that any scorer reads them: of a benchmark, or of a folder of image files.

A picture's name becomes its caption. One that several items share, or that lies in several files, comes once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from pydantic import Field

from oqvl_filter.config import ImportPicturesConfig
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.image import image_size
from oqvl_shards.manifest import Account, Sha256, Shard
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.sample import IMAGE_TYPES, ReadLimits, RejectReason, SampleError
from oqvl_shards.tar.writer import TarWriter

REPEATED = "repeated_picture"
"""Reason of a picture whose very file came before."""

_SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}

SAMPLES_PER_SHARD = 10_000


class PicturesStep(StageConfig):
    """What the lineage of imported pictures records."""

    config: ImportPicturesConfig = Field(description="the configuration")
    files: Sha256 | None = Field(description="digest of the names and contents of a folder's files")

    @classmethod
    def of(cls, config: ImportPicturesConfig, benchmark: Dataset | None) -> Self:
        """Describe the step; a benchmark is a parent instead."""
        if benchmark is not None:
            return cls(config=config, files=None)
        digest = hashlib.sha256()
        for name, content in folder_pictures(config.source):
            digest.update(f"{name}\0".encode() + hashlib.sha256(content).digest())
        return cls(config=config, files=digest.hexdigest())


def folder_pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every image file below `folder`, by its suffix, numbers in their order.

    Raises:
        ConfigError: When there is none.
        DataError: When one cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", hint="check the path")
    paths = [path for path in folder.rglob("*") if path.suffix.lower().removeprefix(".") in IMAGE_TYPES]
    if not paths:
        raise ConfigError(
            f"{folder}: found no {', '.join(sorted(IMAGE_TYPES))} file and no manifest",
            hint="expected a folder of image files, or a dataset of kind benchmark",
        )
    for path in sorted(paths, key=lambda path: natural_key(path.relative_to(folder).as_posix())):
        try:
            yield path.relative_to(folder).as_posix(), path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}") from error


def write_pictures(
    pictures: Iterable[tuple[str, bytes]], directory: Path, limits: ReadLimits
) -> tuple[list[Shard], Account]:
    """Write pictures as shards of image-text pairs.

    Args:
        pictures: Name and content of each.
        directory: The dataset's directory.
        limits: Caps on what is taken for a picture.

    Returns:
        The shards, and what became of all pictures.
    """
    counts: Counter[str] = Counter()
    usable = _usable(pictures, limits, counts)
    shards: list[Shard] = []
    following = next(usable, None)
    while following is not None:
        num_samples = 0
        with TarWriter(directory / f"{len(shards):05d}.tar") as tar:
            while following is not None and num_samples < SAMPLES_PER_SHARD:
                name, suffix, content = following
                key = f"{len(shards) * SAMPLES_PER_SHARD + num_samples:09d}"
                tar.add(f"{key}.{suffix}", content)
                tar.add(f"{key}.txt", name.encode("utf-8", "backslashreplace"))
                num_samples += 1
                following = next(usable, None)
        shards.append(tar.shard(num_samples, directory))
    num_kept = sum(shard.num_samples for shard in shards)
    account = Account(num_in=num_kept + counts.total(), num_kept=num_kept, rejected=dict(sorted(counts.items())))
    return shards, account


def _usable(
    pictures: Iterable[tuple[str, bytes]], limits: ReadLimits, counts: Counter[str]
) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, suffix and content of the pictures that can be used; count the others by reason."""
    seen: set[bytes] = set()
    for name, content in pictures:
        digest = hashlib.sha256(content).digest()
        suffix = next((kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)), None)
        try:
            if suffix is None:
                raise SampleError(RejectReason.IMAGE_BROKEN)
            image_size(content, limits)
        except SampleError as error:
            counts[str(error.reason)] += 1
            continue
        if digest in seen:
            counts[REPEATED] += 1
            continue
        seen.add(digest)
        yield name, suffix, content
