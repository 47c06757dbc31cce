"""Random access to the packs of a dataset in either layout."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np

from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Kind, PackedDetails
from oqvl_shards.packed.embedded import EmbeddedShard
from oqvl_shards.packed.record import Pack, PackRecord
from oqvl_shards.packed.reference import ReferenceShard, SourceTar, open_sources


class PackedReader(Sequence[Pack]):
    """Random access to the packs of a packed dataset, by `pack_id`.

    A shard is indexed or mapped when one of its packs is first read. No file position is shared, so a reader can be
    pickled, forked, and used by several threads.

    Args:
        dataset: A dataset of kind `packed`, or its directory.

    Raises:
        ManifestError: If there is no manifest, or the dataset is of another kind.
        DataError: If a source of a dataset of the layout `reference` has moved or changed.
    """

    def __init__(self, dataset: Dataset | Path | str) -> None:
        if not isinstance(dataset, Dataset) or dataset.manifest.kind is not Kind.PACKED:
            dataset = open_dataset(dataset.path if isinstance(dataset, Dataset) else dataset, Kind.PACKED)
        self.dataset = dataset
        self._first_pack_ids = [0, *accumulate(shard.num_samples for shard in dataset.manifest.shards)]
        self._sources: tuple[SourceTar, ...] = ()
        if self.details.layout == "reference":
            self._sources = tuple(tar for source in open_sources(dataset) for tar in source.tars())
        self._shards: dict[int, EmbeddedShard | ReferenceShard] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": {}}

    @property
    def details(self) -> PackedDetails:
        """The manifest's details, which hold for all packs."""
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
            IndexError: If there is no such pack.
            DataError: If its shard is damaged, or is not the one that the manifest describes.
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
        """Yield the packs with these `pack_ids`, in this order."""
        for pack_id in pack_ids:
            yield self[pack_id]

    def _read(self, pack_id: int) -> Pack:
        shard_number = bisect_right(self._first_pack_ids, pack_id) - 1
        number = pack_id - self._first_pack_ids[shard_number]
        shard = self._shards.get(shard_number)
        if shard is None:
            shard = self._shards[shard_number] = self._open(shard_number)
        record, images = shard.read(number)
        _check_against(record, self.details, shard.where(number))
        return Pack(pack_id, record, tuple(images))

    def _open(self, shard_number: int) -> EmbeddedShard | ReferenceShard:
        shard = self.dataset.manifest.shards[shard_number]
        path = self.dataset.shard_path(shard)
        if self.details.layout == "reference":
            return ReferenceShard(path, shard.num_samples, self._sources)
        return EmbeddedShard(path, self._first_pack_ids[shard_number], shard.num_samples)


def _check_against(record: PackRecord, details: PackedDetails, where: str) -> None:
    """Raise `DataError`, naming `where`, unless the record agrees with the manifest."""
    num_tokens, visual_tokens = record.num_tokens, details.visual_tokens_per_image
    problems = {
        f"{num_tokens} tokens, expected at most {details.bin_capacity}": num_tokens > details.bin_capacity,
        f"an image does not have {visual_tokens} visual tokens": bool(
            visual_tokens and (record.image_tokens != visual_tokens).any()
        ),
        f"image placeholders are not exactly the tokens {details.image_token_id}": not np.array_equal(
            np.flatnonzero(record.input_ids == details.image_token_id), record.image_positions
        ),
        f"a token id outside 0..{details.vocab_size - 1}": bool(
            ((record.input_ids < 0) | (record.input_ids >= details.vocab_size)).any()
        ),
    }
    for problem, is_there in problems.items():
        if is_there:
            raise DataError(f"{where}: {problem}", hint="shard and manifest do not belong together: pack again")
