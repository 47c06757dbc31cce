"""Who packs what: every source shard packs its own documents, and what fits badly there is packed together at the end.

Packing all documents at once would make every pack draw images from the whole corpus. Packing each shard alone leaves
its last packs nearly empty. So a shard keeps the packs that are at least as full as its packs are on average, and hands
the documents of the others over; all handed-over documents are packed at the end, in the order of the shards. Both
steps are functions of the documents alone, so the packs do not depend on who worked on which shard, or when.
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
class ShardDivision:
    """What one source shard packs alone. P packs.

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
        """Packs that the shard keeps."""
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

    def part(self, begin: int, end: int) -> PackTable:
        """Return the packs from `begin` up to `end`."""
        documents = slice(self.offsets[begin], self.offsets[end])
        offsets = self.offsets[begin : end + 1] - self.offsets[begin]
        return PackTable(self.shards[documents], self.documents[documents], offsets)


def divide_shard(
    lengths: NDArray[np.int64], shard_index: int, config: PackConfig, is_chosen: NDArray[np.bool_] | None = None
) -> ShardDivision:
    """Pack the documents of one shard, and choose the packs that it keeps.

    Args:
        lengths: Expanded lengths of the shard's documents, at most `bin_capacity` each.
        shard_index: Index of the shard; it goes into the seed.
        config: Capacity, algorithm and seed.
        is_chosen: Whether each document is packed at all; None for all.
    """
    chosen = np.arange(len(lengths)) if is_chosen is None else np.flatnonzero(is_chosen)
    plan = _pack(lengths[chosen], shard_index, config)
    is_kept = plan.fill * plan.num_bins >= plan.num_tokens
    if config.max_documents == 1:
        is_kept[:] = True  # nothing can be gained from packing again
    num_documents = np.diff(plan.offsets)
    of_kept = np.repeat(is_kept, num_documents)
    return ShardDivision(
        documents=chosen[plan.indices[of_kept]],
        offsets=np.concatenate([[0], np.cumsum(num_documents[is_kept])]),
        leftovers=np.sort(chosen[plan.indices[~of_kept]]),
    )


def join_divisions(
    divisions: Sequence[ShardDivision], lengths: Sequence[NDArray[np.int64]], config: PackConfig
) -> PackTable:
    """List all packs: those of each shard, in order, then those of the leftovers.

    Args:
        divisions: One a source shard.
        lengths: Expanded lengths of each shard's documents.
        config: Capacity, algorithm and seed.
    """
    owner = np.repeat(np.arange(len(divisions)), [len(division.leftovers) for division in divisions])
    leftovers = _concatenate([division.leftovers for division in divisions])
    left_lengths = _concatenate([of[one.leftovers] for one, of in zip(divisions, lengths, strict=True)])
    plan = _pack(left_lengths, len(divisions), config)
    kept_owner = np.repeat(np.arange(len(divisions)), [len(division.documents) for division in divisions])
    num_documents = [np.diff(division.offsets) for division in divisions] + [np.diff(plan.offsets)]
    return PackTable(
        shards=np.concatenate([kept_owner, owner[plan.indices]]),
        documents=_concatenate([*(division.documents for division in divisions), leftovers[plan.indices]]),
        offsets=np.concatenate([[0], np.cumsum(_concatenate(num_documents))]),
    )


def _pack(lengths: NDArray[np.int64], stream: int, config: PackConfig) -> Plan:
    plan = pack(lengths, config.bin_capacity, algorithm=config.algorithm, max_items=config.max_documents)
    return plan.shuffled(start_of(start_of(config.seed) + stream))


def _concatenate(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
