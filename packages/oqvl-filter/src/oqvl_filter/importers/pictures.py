"""Evaluation pictures as a pool that any scorer can read: from a benchmark, or from a folder of image files.

A picture's name becomes its caption. A picture that several items or files share is written once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.image import image_size
from oqvl_shards.manifest import Account, Shard
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.sample import IMAGE_TYPES, ReadLimits, RejectReason, SampleError
from oqvl_shards.tar.writer import TarWriter

_REPEATED = "repeated_picture"
"""Reason of a picture with the same bytes as an earlier one."""

_SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp"}

_SAMPLES_PER_SHARD = 10_000


def folder_pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every image file below `folder`, recognised by its suffix, in natural order.

    Raises:
        ConfigError: If there is no image file.
        DataError: If a file cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", hint="check the path")
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


def digest_folder(folder: Path) -> str:
    """Return a sha256 of the names and contents of a folder's image files, for the lineage.

    Raises:
        ConfigError: If there is no image file.
        DataError: If a file cannot be read.
    """
    digest = hashlib.sha256()
    for name, content in folder_pictures(folder):
        digest.update(f"{name}\0".encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def write_pictures(
    pictures: Iterable[tuple[str, bytes]], directory: Path, limits: ReadLimits
) -> tuple[list[Shard], Account]:
    """Write pictures as shards of image-text pairs.

    Args:
        pictures: Name and content of each picture.
        directory: The dataset's directory.
        limits: Caps on what is accepted as a picture.

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
            while following is not None and num_samples < _SAMPLES_PER_SHARD:
                name, suffix, content = following
                key = f"{len(shards) * _SAMPLES_PER_SHARD + num_samples:09d}"
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
    """Yield name, suffix and content of the usable pictures; count the others by reason."""
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
            counts[_REPEATED] += 1
            continue
        seen.add(digest)
        yield name, suffix, content
