"""Packed shards of the layout `reference`: memory-mapped Arrow files of records that point into the source tars.

No image is copied, and the source shards must stay in place, unchanged. README.md in this directory specifies the
layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset, describe_bytes, open_dataset
from oqvl_shards.errors import DataError, OqvlError
from oqvl_shards.manifest import PackedDetails, PackedSource, Shard
from oqvl_shards.packed.embedded import read_span
from oqvl_shards.packed.record import PackRecord
from oqvl_shards.tar.index import open_shard_file

if TYPE_CHECKING:
    import pyarrow

_LAYOUT_VERSION = 1
"""Version of the columns, stored in the schema's metadata. Readers accept this one only."""

_HINT = "the packed shard is damaged, or another tool wrote it: run `oqvl-shards check`, then pack again"
_RECORD_COLUMNS = ("input_ids", "is_target", "document_lengths", "image_positions", "image_tokens")
_IMAGE_COLUMNS = ("image_shards", "image_offsets", "image_sizes")
_STRING_COLUMNS = ("document_keys", "image_types")


class ImageReference(NamedTuple):
    """Where an encoded image file is.

    Args:
        shard: 0-based number of the source shard, counted through all shards of all sources.
        offset: Where the file begins in that shard, in bytes.
        size: Size of the file, in bytes.
    """

    shard: int
    offset: int
    size: int


class SourceTar(NamedTuple):
    """A shard of a source: its path, and the size in bytes that it must have."""

    path: Path
    num_bytes: int


class OpenSource(NamedTuple):
    """A source of packs, and the dataset at the path that the manifest names."""

    source: PackedSource
    dataset: Dataset

    def tars(self) -> list[SourceTar]:
        """Check the size of each shard, and return the shards.

        Raises:
            DataError: If a shard is missing, or its size has changed since it was packed. The message names the first
                one.
        """
        tars = [SourceTar(self.dataset.shard_path(shard), shard.num_bytes) for shard in self.dataset.manifest.shards]
        for tar in tars:
            _check_size(tar)
        return tars


def open_sources(dataset: Dataset) -> list[OpenSource]:
    """Open the sources of a packed dataset of the layout `reference`.

    Raises:
        DataError: If a source has moved since it was packed, or has another manifest now.
    """
    assert isinstance(dataset.manifest.details, PackedDetails)
    return [open_source(dataset, source) for source in dataset.manifest.details.sources]


def open_source(dataset: Dataset, source: PackedSource) -> OpenSource:
    """Open one source; see `open_sources`."""
    directory = Path(os.path.normpath(dataset.path.resolve() / source.path))
    try:
        packed_from = open_dataset(directory)
    except OqvlError as error:
        raise DataError(
            f"{dataset.path} points into its source {source.name!r}, which is not at {directory}: {error.message}",
            hint="put the source back there or link it; a dataset packed with layout=embedded needs no source",
        ) from error
    if packed_from.manifest.digest() != source.sha256:
        raise DataError(
            f"{dataset.path} points into its source {source.name!r}, but the dataset at {directory} has the digest "
            f"{packed_from.manifest.digest()}, expected {source.sha256}",
            hint="put back the dataset that was packed, or pack again",
        )
    return OpenSource(source, packed_from)


def write_reference_shard(
    path: Path, packs: Iterable[tuple[PackRecord, Sequence[ImageReference]]], *, relative_to: Path
) -> Shard:
    """Write one shard file, atomically. The same packs give the same bytes.

    Args:
        path: The file to write; by convention `reference_shard_name(index)` in the dataset's directory.
        packs: Records, and where the images of their placeholders are.
        relative_to: The dataset's directory.

    Returns:
        The file's manifest entry.

    Raises:
        DataError: If a record's parts do not fit together, or it does not have as many images as placeholders.
    """
    import pyarrow

    # Check every pack before anything is written.
    rows = list(packs)
    for number, (record, images) in enumerate(rows):
        record.check(f"{path}: pack {number}")
        if len(images) != len(record.image_types):
            raise DataError(f"{path}: pack {number}: found {len(images)} images, expected {len(record.image_types)}")
    # Turn rows into columns, each a list of one array per pack.
    columns = {name: [getattr(record, name) for record, _ in rows] for name in _RECORD_COLUMNS + _STRING_COLUMNS}
    spans = [np.asarray(images, dtype=np.int64).reshape(-1, 3).T for _, images in rows]
    columns |= {name: [span[axis] for span in spans] for axis, name in enumerate(_IMAGE_COLUMNS)}
    schema = _schema()
    arrays = [_list_array(columns[field.name], field.type) for field in schema]
    # Write a single record batch, which a reader can map in one piece.
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
    data = memoryview(sink.getvalue())
    atomic_write(path, data)
    return describe_bytes(data, path.relative_to(relative_to).as_posix(), len(rows))


def reference_shard_name(index: int) -> str:
    """Return the file name of the shard with 0-based `index`: `shard-00000.arrow`."""
    return f"shard-{index:05d}.arrow"


class ReferenceShard:
    """Random access to the packs of one shard file, memory-mapped.

    Args:
        path: The file.
        num_packs: Number of packs in it according to the manifest.
        sources: The source tars, in the order in which its references number them.

    Raises:
        DataError: If the file is missing or damaged, or does not hold these packs.
    """

    def __init__(self, path: Path, num_packs: int, sources: Sequence[SourceTar]) -> None:
        self._path = path
        self._sources = sources
        batch = _map_batch(path)
        if batch.num_rows != num_packs:
            raise DataError(
                f"{path}: found {batch.num_rows} packs, expected {num_packs} as in the manifest", hint=_HINT
            )
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._offsets = {name: column.offsets.to_numpy() for name, column in columns.items()}
        self._values = {name: column.values for name, column in columns.items()}

    def where(self, number: int) -> str:
        """Return the name of pack `number` (0-based in the shard) for errors."""
        return f"{self._path}: pack {number}"

    def record(self, number: int) -> PackRecord:
        """Return the record of pack `number` (0-based in the shard)."""
        record = PackRecord(
            input_ids=self._numbers("input_ids", number),
            is_target=self._numbers("is_target", number),
            document_lengths=self._numbers("document_lengths", number),
            image_positions=self._numbers("image_positions", number),
            image_tokens=self._numbers("image_tokens", number),
            document_keys=tuple(self._slice("document_keys", number).to_pylist()),
            image_types=tuple(self._slice("image_types", number).to_pylist()),
        )
        record.check(self.where(number))
        return record

    def references(self, number: int) -> list[ImageReference]:
        """Return where the images of pack `number` (0-based in the shard) are."""
        columns = [self._numbers(name, number).tolist() for name in _IMAGE_COLUMNS]
        if len({len(column) for column in columns}) > 1:
            raise DataError(f"{self.where(number)}: {', '.join(_IMAGE_COLUMNS)} differ in number", hint=_HINT)
        return [ImageReference(*values) for values in zip(*columns, strict=True)]

    def read(self, number: int) -> tuple[PackRecord, list[bytes]]:
        """Return the record of pack `number` (0-based in the shard) and its encoded images, from the source tars."""
        record, references = self.record(number), self.references(number)
        if len(record.image_types) != len(references):
            raise DataError(
                f"{self.where(number)}: found {len(references)} image references, expected {len(record.image_types)}",
                hint=_HINT,
            )
        images: list[bytes] = []
        for shard, group in groupby(references, key=lambda reference: reference.shard):
            images += self._read_images(number, shard, list(group))
        return record, images

    def _read_images(self, number: int, shard: int, references: Sequence[ImageReference]) -> list[bytes]:
        """Return the images of pack `number` that are in one source shard.

        Raises:
            DataError: If there is no such shard, or a reference leads out of it.
        """
        if not 0 <= shard < len(self._sources):
            raise DataError(f"{self.where(number)}: found source shard {shard} of {len(self._sources)}", hint=_HINT)
        tar = self._sources[shard]
        for _, offset, size in references:
            if offset < 0 or size < 0 or offset + size > tar.num_bytes:
                raise DataError(
                    f"{self.where(number)}: found an image of {size} bytes at {offset}, "
                    f"but {tar.path} has {tar.num_bytes} bytes",
                    hint=_HINT,
                )
        descriptor = open_shard_file(tar.path)
        try:
            return [read_span(descriptor, tar.path, offset, size) for _, offset, size in references]
        finally:
            os.close(descriptor)

    def _slice(self, name: str, number: int) -> pyarrow.Array:
        begin, end = self._offsets[name][number : number + 2].tolist()
        return self._values[name].slice(begin, end - begin)

    def _numbers(self, name: str, number: int) -> NDArray:
        return np.array(self._slice(name, number).to_numpy(zero_copy_only=False))


def _check_size(tar: SourceTar) -> None:
    size = tar.path.stat().st_size if tar.path.is_file() else None
    if size != tar.num_bytes:
        raise DataError(
            f"source shard {tar.path}: found {'no file' if size is None else f'{size} bytes'}, "
            f"expected {tar.num_bytes} bytes",
            hint="packs of layout reference need their source shards unchanged: put this one back, or pack again",
        )


@cache
def _schema() -> pyarrow.Schema:
    """Return the columns of a shard: lists, in which nothing is ever null."""
    import pyarrow

    values = {
        "input_ids": pyarrow.int32(),
        "is_target": pyarrow.bool_(),
        "document_lengths": pyarrow.int32(),
        "document_keys": pyarrow.string(),
        "image_positions": pyarrow.int32(),
        "image_tokens": pyarrow.int32(),
        "image_types": pyarrow.string(),
        "image_shards": pyarrow.int32(),
        "image_offsets": pyarrow.int64(),
        "image_sizes": pyarrow.int64(),
    }
    fields = [
        pyarrow.field(name, pyarrow.list_(pyarrow.field("item", value, nullable=False)), nullable=False)
        for name, value in values.items()
    ]
    return pyarrow.schema(fields, metadata={"oqvl_layout_version": str(_LAYOUT_VERSION)})


def _list_array(rows: Sequence[Sequence], list_type: pyarrow.ListType) -> pyarrow.ListArray:
    """Return a column of lists, one per pack."""
    import pyarrow

    offsets = np.cumsum([0, *map(len, rows)])
    if pyarrow.types.is_string(list_type.value_type):
        values = pyarrow.array([value for row in rows for value in row], type=list_type.value_type)
    else:
        numbers = np.concatenate([np.zeros(0, dtype=np.int32), *rows]) if rows else np.zeros(0, dtype=np.int32)
        values = pyarrow.array(numbers.astype(list_type.value_type.to_pandas_dtype()), type=list_type.value_type)
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets, type=pyarrow.int32()), values, type=list_type)


def _map_batch(path: Path) -> pyarrow.RecordBatch:
    """Map the file's only record batch, and check every offset and string in it before any is used.

    Raises:
        DataError: If the file is not a shard of this layout and version, or is damaged.
    """
    import pyarrow

    try:
        reader = pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
        if not reader.schema.equals(_schema(), check_metadata=True) or reader.num_record_batches != 1:
            raise DataError(
                f"{path}: found {reader.num_record_batches} record batches of "
                f"{', '.join(f'{field.name} {field.type}' for field in reader.schema)}; expected one of "
                f"{', '.join(f'{field.name} {field.type}' for field in _schema())}, version {_LAYOUT_VERSION}",
                hint=_HINT,
            )
        batch = reader.get_batch(0)
        batch.validate(full=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is not a shard of layout reference: {error}", hint=_HINT) from error
    if any(column.null_count or column.values.null_count for column in batch.columns):
        raise DataError(f"{path}: found a missing value", hint=_HINT)
    return batch
