"""Packed shards of the embedded layout: a tar of pack records, each followed by its images' untouched bytes.

The layout is specified in this directory's README.md.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Dataset, Kind, PackedDetails, Shard, open_dataset
from oqvl_shards.packed.codec import decode_record, encode_record
from oqvl_shards.packed.record import Pack, PackRecord
from oqvl_shards.sample import IMAGE_TYPES
from oqvl_shards.tar_index import Member, open_shard_file, scan_tar
from oqvl_shards.tar_writer import TarWriter

RECORD_TYPE = "safetensors"
"""File ending of the member that holds a pack's record."""

_HINT = "the packed shard is damaged, or another tool wrote it: run `oqvl-shards verify`, then pack again"

ImageSource = bytes | tuple[int | Path, Member]
"""An encoded image file: its bytes, or a tar (open file descriptor or path) and the member in it to be copied."""


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
    """Write one shard file, atomically; the same packs give the same bytes.

    Args:
        path: The file to write, by convention `shard_name(index)` in the dataset's directory.
        packs: Records with the images that their placeholders stand for, in order.
        first_pack_id: `pack_id` of the first one: the number of packs in all earlier shards.
        relative_to: The dataset's directory.

    Returns:
        The manifest's entry of the file.

    Raises:
        DataError: When a record's parts do not fit together, or it has another number of images than placeholders.
    """
    num_packs = 0
    with TarWriter(path) as tar:
        for record, images in packs:
            pack_id = first_pack_id + num_packs
            if len(images) != len(record.image_types):
                raise DataError(f"pack {pack_id}: found {len(images)} images, expected {len(record.image_types)}")
            tar.add(record_name(pack_id), encode_record(record))
            for number, (image, image_type) in enumerate(zip(images, record.image_types, strict=True)):
                name = image_name(pack_id, number, image_type)
                if isinstance(image, bytes):
                    tar.add(name, image)
                else:
                    source, member = image
                    tar.copy(source, member, name)
            num_packs += 1
    return tar.shard(num_packs, relative_to)


def record_name(pack_id: int) -> str:
    """Return the name of the member that holds the record of `pack_id`."""
    return f"{pack_id:09d}.{RECORD_TYPE}"


def image_name(pack_id: int, number: int, image_type: str) -> str:
    """Return the name of the member that holds image `number` (0-based) of `pack_id`."""
    return f"{pack_id:09d}.{number:03d}.{image_type}"


class PackedReader(Sequence[Pack]):
    """Random access to the packs of a packed dataset.

    A shard's headers are scanned once, when a pack of it is first read, and 16 bytes a member are kept; after that a
    pack costs one `open` and one `pread` a member. No descriptor is held between reads and no file position is shared,
    so a reader can be pickled, forked, and read from several threads.

    Args:
        dataset: A dataset of kind `packed`, or its directory.

    Raises:
        ManifestError: When there is no manifest, or the dataset is of another kind.
    """

    def __init__(self, dataset: Dataset | Path | str) -> None:
        if not isinstance(dataset, Dataset) or dataset.manifest.kind is not Kind.PACKED:
            dataset = open_dataset(dataset.path if isinstance(dataset, Dataset) else dataset, Kind.PACKED)
        self.dataset = dataset
        self._first_pack_ids = [0, *accumulate(shard.num_samples for shard in dataset.manifest.shards)]
        self._indices: dict[int, _ShardIndex] = {}

    @property
    def details(self) -> PackedDetails:
        """What the manifest says about all packs."""
        details = self.dataset.manifest.details
        assert isinstance(details, PackedDetails)
        return details

    def __len__(self) -> int:
        return self._first_pack_ids[-1]

    @overload
    def __getitem__(self, index: int) -> Pack: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pack]: ...
    def __getitem__(self, index: int | slice) -> Pack | list[Pack]:
        """Read one pack by its `pack_id` (negative: from the end), or the packs of a slice.

        Raises:
            IndexError: When there is no such pack.
            DataError: When its shard is damaged or does not hold what the manifest says.
        """
        if isinstance(index, slice):
            return list(self.iter_packs(range(*index.indices(len(self)))))
        pack_id = index + len(self) if index < 0 else index
        if not 0 <= pack_id < len(self):
            raise IndexError(f"pack {index} of {len(self)}")
        return self._read(pack_id)

    def __iter__(self) -> Iterator[Pack]:
        return self.iter_packs(range(len(self)))

    def iter_packs(self, pack_ids: Iterable[int]) -> Iterator[Pack]:
        """Yield the packs named by `pack_ids`, in that order."""
        for pack_id in pack_ids:
            yield self[pack_id]

    def _read(self, pack_id: int) -> Pack:
        shard_number = bisect_right(self._first_pack_ids, pack_id) - 1
        shard = self.dataset.manifest.shards[shard_number]
        path = self.dataset.shard_path(shard)
        first_pack_id = self._first_pack_ids[shard_number]
        if shard_number not in self._indices:
            self._indices[shard_number] = _index_shard(path, first_pack_id, shard.num_samples)
        data, *images = self._indices[shard_number].read(path, pack_id - first_pack_id)
        where = f"{path}: {record_name(pack_id)}"
        record = decode_record(data, where)
        if len(record.image_types) != len(images):
            raise DataError(
                f"{where}: found {len(images)} image members, expected {len(record.image_types)}", hint=_HINT
            )
        _check_against(record, self.details, where)
        return Pack(pack_id, record, tuple(images))


@dataclass(frozen=True)
class _ShardIndex:
    """Where a shard's members lie. P packs, M members.

    Args:
        bounds: int64 [P + 1], the members of pack p are bounds[p] .. bounds[p + 1], its record first.
        offsets: int64 [M], where a member's bytes begin in the file.
        sizes: int64 [M], in bytes.
    """

    bounds: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def read(self, path: Path, number: int) -> list[bytes]:
        """Return the members of pack `number` (0-based in the shard): the record, then the images."""
        members = slice(self.bounds[number], self.bounds[number + 1])
        descriptor = open_shard_file(path)
        try:
            return [
                _read_bytes(descriptor, path, offset, size)
                for offset, size in zip(self.offsets[members].tolist(), self.sizes[members].tolist(), strict=True)
            ]
        finally:
            os.close(descriptor)


def _index_shard(path: Path, first_pack_id: int, num_packs: int) -> _ShardIndex:
    index = scan_tar(path)
    if index.damage:
        raise DataError(f"{path}: {index.damage}", hint=_HINT)
    bounds = []
    for position, member in enumerate(index.members):
        pack_id = first_pack_id + len(bounds) - 1
        number = position - bounds[-1] - 1 if bounds else 0
        images = {image_name(pack_id, number, image_type) for image_type in IMAGE_TYPES} if bounds else set()
        if member.name == record_name(pack_id + 1):
            bounds.append(position)
        elif member.name not in images:
            expected = f"{record_name(pack_id + 1)} or image {number} of pack {pack_id}"
            raise DataError(f"{path}: found member {member.name!r}, expected {expected}", hint=_HINT)
    if len(bounds) != num_packs:
        raise DataError(f"{path}: found {len(bounds)} packs, expected {num_packs} as in the manifest", hint=_HINT)
    return _ShardIndex(
        bounds=np.array([*bounds, len(index.members)], dtype=np.int64),
        offsets=np.array([member.offset for member in index.members], dtype=np.int64),
        sizes=np.array([member.size for member in index.members], dtype=np.int64),
    )


def _check_against(record: PackRecord, details: PackedDetails, where: str) -> None:
    num_tokens = record.num_tokens
    problems = {
        f"{num_tokens} tokens, expected at most {details.bin_capacity}": num_tokens > details.bin_capacity,
        f"an image of other than {details.visual_tokens_per_image} visual tokens": bool(
            (record.image_tokens != details.visual_tokens_per_image).any()
        ),
        f"image placeholders are not exactly the tokens {details.image_token_id}": not np.array_equal(
            np.flatnonzero(record.input_ids == details.image_token_id), record.image_positions
        ),
        f"a token id outside 0..{details.vocab_size - 1}": bool(
            ((record.input_ids < 0) | (record.input_ids >= details.vocab_size)).any()
        ),
    }
    for problem, found in problems.items():
        if found:
            raise DataError(f"{where}: {problem}", hint="shard and manifest do not belong together: pack again")


def _read_bytes(descriptor: int, path: Path, offset: int, size: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise DataError(f"{path}: found {len(data)} bytes at {offset}, expected {size}", hint=_HINT)
    return data
