"""Pack each source shard on its own, then pack the documents of badly filled packs together.

Packing all documents at once would make every pack draw images from the whole corpus. Packing each shard on its own
leaves its last packs nearly empty. So a shard keeps the packs that are at least as full as its average pack, and hands
over the documents of the others. These leftovers of all shards are packed together at the end, in the order of the
shards. Both steps depend only on the documents, so the packs are the same for any number of workers.

The trade-off: nearly every pack reads one source shard, and the number of packs is about that of packing everything at
once, because only the leftovers pay for the split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.plan import Plan
from oqvl_pack.binpacking.shuffle import start_of
from oqvl_pack.config import PackConfig


@dataclass(frozen=True)
class ShardPacking:
    """The packs of one source shard, and its leftovers. P packs.

    Args:
        documents: int64, the shard's documents, pack after pack.
        offsets: int64 [P + 1], where each pack begins in `documents`.
        leftovers: int64, the documents handed over, ascending.
    """

    documents: NDArray[np.int64]
    offsets: NDArray[np.int64]
    leftovers: NDArray[np.int64]

    @property
    def num_packs(self) -> int:
        """Number of packs that the shard keeps."""
        return len(self.offsets) - 1


@dataclass(frozen=True)
class PackTable:
    """The documents of consecutive packs. P packs, D documents.

    Args:
        shards: int64 [D], index of each document's source shard.
        documents: int64 [D], its index in that shard's `DocumentTable`.
        offsets: int64 [P + 1], where each pack begins.
    """

    shards: NDArray[np.int64]
    documents: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def num_packs(self) -> int:
        """Number of packs."""
        return len(self.offsets) - 1

    def between(self, begin: int, end: int) -> PackTable:
        """Return the packs from `begin` up to `end`."""
        documents = slice(self.offsets[begin], self.offsets[end])
        offsets = self.offsets[begin : end + 1] - self.offsets[begin]
        return PackTable(self.shards[documents], self.documents[documents], offsets)


def pack_shard(
    lengths: NDArray[np.int64], shard_index: int, config: PackConfig, is_chosen: NDArray[np.bool_] | None = None
) -> ShardPacking:
    """Pack the documents of one shard, and choose the packs that it keeps.

    Args:
        lengths: int64 [D], expanded lengths of the shard's documents, at most `bin_capacity` each.
        shard_index: Index of the shard; it is part of the seed.
        config: Capacity, algorithm and seed.
        is_chosen: bool [D], whether each document is packed at all; None for all.
    """
    chosen = np.arange(len(lengths)) if is_chosen is None else np.flatnonzero(is_chosen)
    plan = _shuffled_plan(lengths[chosen], shard_index, config)
    # Keep the packs that are at least as full as the average pack.
    is_kept = plan.fill * plan.num_bins >= plan.num_tokens
    if config.max_documents == 1:
        is_kept[:] = True  # packing again would gain nothing
    num_documents = np.diff(plan.offsets)
    is_in_kept_pack = np.repeat(is_kept, num_documents)
    return ShardPacking(
        documents=chosen[plan.indices[is_in_kept_pack]],
        offsets=np.concatenate([[0], np.cumsum(num_documents[is_kept])]),
        leftovers=np.sort(chosen[plan.indices[~is_in_kept_pack]]),
    )


def join_shards(
    shard_packings: Sequence[ShardPacking], lengths: Sequence[NDArray[np.int64]], config: PackConfig
) -> PackTable:
    """Pack the leftovers of all shards, and list all packs: those of each shard in order, then those of the leftovers.

    Args:
        shard_packings: One per source shard.
        lengths: Expanded lengths of each shard's documents.
        config: Capacity, algorithm and seed.
    """
    shard_indices = np.arange(len(shard_packings))
    # Pack the leftovers.
    leftovers = _concatenate([packing.leftovers for packing in shard_packings])
    leftover_shards = np.repeat(shard_indices, [len(packing.leftovers) for packing in shard_packings])
    leftover_lengths = _concatenate(
        [shard_lengths[packing.leftovers] for packing, shard_lengths in zip(shard_packings, lengths, strict=True)]
    )
    plan = _shuffled_plan(leftover_lengths, len(shard_packings), config)
    # Append these packs to those that the shards keep.
    kept_shards = np.repeat(shard_indices, [len(packing.documents) for packing in shard_packings])
    num_documents = [np.diff(packing.offsets) for packing in shard_packings] + [np.diff(plan.offsets)]
    return PackTable(
        shards=np.concatenate([kept_shards, leftover_shards[plan.indices]]),
        documents=_concatenate([*(packing.documents for packing in shard_packings), leftovers[plan.indices]]),
        offsets=np.concatenate([[0], np.cumsum(_concatenate(num_documents))]),
    )


def _shuffled_plan(lengths: NDArray[np.int64], stream: int, config: PackConfig) -> Plan:
    """Pack `lengths`, and shuffle the packs. Each `stream` has a seed of its own."""
    plan = pack(lengths, config.bin_capacity, algorithm=config.algorithm, max_items=config.max_documents)
    return plan.shuffled(start_of(start_of(config.seed) + stream))


def _concatenate(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
