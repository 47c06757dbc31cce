"""Packed shards of the layout `embedded`: a tar of pack records, each followed by the unchanged files of its images.

README.md in this directory specifies the layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Shard
from oqvl_shards.packed.codec import decode_record, encode_record
from oqvl_shards.packed.record import PackRecord
from oqvl_shards.tar.index import Member, open_shard_file, scan_tar
from oqvl_shards.tar.sample import IMAGE_TYPES
from oqvl_shards.tar.writer import TarWriter

_RECORD_TYPE = "safetensors"
"""File ending of the member that holds a pack's record."""

_HINT = "the packed shard is damaged, or another tool wrote it: run `oqvl-shards check`, then pack again"

ImageSource = bytes | tuple[Path, Member]
"""An encoded image file: its bytes, or a tar and the member to copy from it."""


def shard_name(index: int) -> str:
    """Return the file name of the shard with 0-based `index`: `shard-00000.tar`."""
    return f"shard-{index:05d}.tar"


def write_packed_shard(
    path: Path,
    packs: Iterable[tuple[PackRecord, Sequence[ImageSource]]],
    *,
    first_pack_id: int,
    relative_to: Path,
) -> Shard:
    """Write one shard file, atomically. The same packs give the same bytes.

    Args:
        path: The file to write; by convention `shard_name(index)` in the dataset's directory.
        packs: Records with the images of their placeholders, in order.
        first_pack_id: `pack_id` of the first pack: the number of packs in all earlier shards.
        relative_to: The dataset's directory.

    Returns:
        The file's manifest entry.

    Raises:
        DataError: If a record's parts do not fit together, or it does not have as many images as placeholders.
    """
    num_packs = 0
    with TarWriter(path) as tar:
        for record, images in packs:
            pack_id = first_pack_id + num_packs
            if len(images) != len(record.image_types):
                raise DataError(f"pack {pack_id}: found {len(images)} images, expected {len(record.image_types)}")
            tar.add(_record_name(pack_id), encode_record(record))
            for number, (image, image_type) in enumerate(zip(images, record.image_types, strict=True)):
                name = _image_name(pack_id, number, image_type)
                if isinstance(image, bytes):
                    tar.add(name, image)
                else:
                    source, member = image
                    tar.copy(source, [Member(name, member.offset, member.size)])
            num_packs += 1
    return tar.shard(num_packs, relative_to)


def _record_name(pack_id: int) -> str:
    """Return the name of the member that holds the record of `pack_id`."""
    return f"{pack_id:09d}.{_RECORD_TYPE}"


def _image_name(pack_id: int, number: int, image_type: str) -> str:
    """Return the name of the member that holds image `number` (0-based) of `pack_id`."""
    return f"{pack_id:09d}.{number:03d}.{image_type}"


class EmbeddedShard:
    """Random access to the packs of one shard file.

    Its headers are scanned once, and 16 bytes per member are kept. Reading a pack then takes one `open`, and one
    `pread` per member. No descriptor stays open between reads, and no file position is shared.

    Args:
        path: The file.
        first_pack_id: `pack_id` of its first pack.
        num_packs: Number of packs in it according to the manifest.

    Raises:
        DataError: If the file is missing or damaged, or does not hold these packs.
    """

    def __init__(self, path: Path, first_pack_id: int, num_packs: int) -> None:
        index = scan_tar(path)
        if index.damage:
            raise DataError(f"{path}: {index.damage}", hint=_HINT)
        bounds = _pack_bounds([member.name for member in index.members], path, first_pack_id)
        if len(bounds) != num_packs:
            raise DataError(f"{path}: found {len(bounds)} packs, expected {num_packs} as in the manifest", hint=_HINT)
        self._path = path
        self._first_pack_id = first_pack_id
        self._bounds = np.array([*bounds, len(index.members)], dtype=np.int64)
        self._offsets = np.array([member.offset for member in index.members], dtype=np.int64)
        self._sizes = np.array([member.size for member in index.members], dtype=np.int64)

    def where(self, number: int) -> str:
        """Return the name of pack `number` (0-based in the shard) for errors."""
        return f"{self._path}: {_record_name(self._first_pack_id + number)}"

    def read(self, number: int) -> tuple[PackRecord, list[bytes]]:
        """Return the record of pack `number` (0-based in the shard) and its encoded images."""
        members = slice(self._bounds[number], self._bounds[number + 1])
        spans = zip(self._offsets[members].tolist(), self._sizes[members].tolist(), strict=True)
        descriptor = open_shard_file(self._path)
        try:
            data, *images = [read_span(descriptor, self._path, offset, size) for offset, size in spans]
        finally:
            os.close(descriptor)
        where = self.where(number)
        record = decode_record(data, where)
        if len(record.image_types) != len(images):
            raise DataError(
                f"{where}: found {len(images)} image members, expected {len(record.image_types)}", hint=_HINT
            )
        return record, images


def read_span(descriptor: int, path: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes at `offset` of an open file.

    Raises:
        DataError: If the file ends too early.
    """
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise DataError(f"{path}: found {len(data)} bytes at {offset}, expected {size}", hint=_HINT)
    return data


def _pack_bounds(names: Sequence[str], path: Path, first_pack_id: int) -> list[int]:
    """Check the name of every member, and return the index of the first member of each pack.

    A pack's record comes first. A member after it is either an image of this pack, or the record of the next one.
    """
    bounds: list[int] = []
    for position, name in enumerate(names):
        pack_id = first_pack_id + len(bounds) - 1  # of the pack that the member before belongs to
        number = position - bounds[-1] - 1 if bounds else 0  # of the image that this member may be
        images = {_image_name(pack_id, number, image_type) for image_type in IMAGE_TYPES} if bounds else set()
        if name == _record_name(pack_id + 1):
            bounds.append(position)
        elif name not in images:
            expected = f"{_record_name(pack_id + 1)} or image {number} of pack {pack_id}"
            raise DataError(f"{path}: found member {name!r}, expected {expected}", hint=_HINT)
    return bounds
