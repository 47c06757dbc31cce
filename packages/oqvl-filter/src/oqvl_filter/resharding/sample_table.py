"""The selected samples of pools and where their members are, in arrays of about 60 bytes per sample.

Finding the samples reads the headers and the json members of the pools once. New shards can then be made in any order
without reading the pools' headers again. S is the number of samples, M that of their members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.pool import DUPLICATE_UID, check_count, pool_samples
from oqvl_filter.uid_array import locate, pack_uids, read_uid_files, sort_uids
from oqvl_shards.garbage import collector_paused
from oqvl_shards.manifest import Account
from oqvl_shards.tar.index import BLOCK_SIZE, Member
from oqvl_shards.tar.reader import ShardReader

_NOT_SELECTED = "not_selected"
"""Reason of a sample whose uid is not in the subset."""


@dataclass(frozen=True)
class PoolShard:
    """A shard to copy from.

    Args:
        path: The tar.
        name: Its path below the pool's directory.
        num_samples: Its samples in the pool's manifest.
        pool_name: The pool's name.
    """

    path: Path
    name: str
    num_samples: int
    pool_name: str

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class SampleTable:
    """Samples and the places of their members.

    Args:
        paths: Tars.
        uids: [S] of dtype `UID_DTYPE`.
        keys: [S] keys, as objects.
        tars: [S] indices into `paths`.
        ends: [S] end of each sample's members in the arrays below; they start at the end of the previous sample's.
        offsets: [M] offset of each member's content in its tar, in bytes.
        sizes: [M] size of the content, in bytes.
        suffixes: [M] suffixes of the members' names, as objects.
    """

    paths: tuple[Path, ...]
    uids: NDArray[np.void]
    keys: NDArray[np.object_]
    tars: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    suffixes: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of members [S] of each sample."""
        return np.diff(self.ends, prepend=0)

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """Bytes [S] that each sample takes in a tar: its members and their headers, in whole blocks."""
        blocks_M = 1 + -(-self.sizes // BLOCK_SIZE)
        sums = np.concatenate([[0], np.cumsum(blocks_M)])
        return BLOCK_SIZE * (sums[self.ends] - sums[self.ends - self.counts])

    def take(self, rows: NDArray[np.int64]) -> SampleTable:
        """Return the samples `rows`, in that order."""
        counts = self.counts[rows]
        ends = np.cumsum(counts)
        # The members of each row: its range in the old arrays, moved to its range in the new ones.
        members = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.ends[rows] - ends, counts)
        used, tars = np.unique(self.tars[rows], return_inverse=True)
        return SampleTable(
            paths=tuple(self.paths[tar] for tar in used.tolist()),
            uids=self.uids[rows],
            keys=self.keys[rows],
            tars=tars,
            ends=ends,
            offsets=self.offsets[members],
            sizes=self.sizes[members],
            suffixes=self.suffixes[members],
        )

    def pieces(self, keys: Sequence[str]) -> Iterator[tuple[Path, list[Member]]]:
        """Yield the members in order under the new `keys` [S]; consecutive members of one tar come together."""
        keys_M, tars_M = np.repeat(np.array(keys, dtype=object), self.counts), np.repeat(self.tars, self.counts)
        names = map("{}.{}".format, keys_M.tolist(), self.suffixes.tolist())
        members = list(map(Member._make, zip(names, self.offsets.tolist(), self.sizes.tolist(), strict=True)))
        starts = np.flatnonzero(np.diff(tars_M, prepend=-1)).tolist()
        for begin, end in pairwise([*starts, len(members)]):
            yield self.paths[tars_M[begin]], members[begin:end]


@dataclass(frozen=True)
class FoundSamples:
    """The samples of one shard that are in the subset.

    Args:
        samples: The samples and the places of their members.
        account: What became of all samples of the shard.
    """

    samples: SampleTable
    account: Account


def find_samples(shard: PoolShard, subset: tuple[Path, ...]) -> FoundSamples:
    """Return the samples of `shard` that are in a subset and can be read; the account counts the others.

    Args:
        shard: The shard.
        subset: The files of the subset. Workers receive these paths instead of the uids.

    Raises:
        DataError: If the shard holds other samples than its manifest says.
    """
    with collector_paused(), ShardReader(shard.path, name=shard.name) as reader:
        check_count(reader, shard.num_samples)
        samples = pool_samples(reader, shard.pool_name)
    uids_N = pack_uids(sample.uid.value for sample in samples)
    selected = np.flatnonzero(locate(_uids_of(subset), uids_N) >= 0).tolist()
    rejected = Counter(str(samples[row].reject) for row in selected if samples[row].reject)
    rejected[_NOT_SELECTED] = len(samples) - len(selected)
    rows = [row for row in selected if not samples[row].reject]
    account = Account(num_in=len(samples), num_kept=len(rows), rejected=dict(+rejected))
    chosen = [samples[row].sample for row in rows]
    members = [member for sample in chosen for member in sample.members]
    table = SampleTable(
        paths=(shard.path,),
        uids=uids_N[rows],
        keys=np.array([sample.key for sample in chosen], dtype=object),
        tars=np.zeros(len(rows), dtype=np.int64),
        ends=np.cumsum([len(sample.members) for sample in chosen], dtype=np.int64),
        offsets=np.array([member.offset for member in members], dtype=np.int64),
        sizes=np.array([member.size for member in members], dtype=np.int64),
        suffixes=np.array([suffix for sample in chosen for suffix in sample.suffixes], dtype=object),
    )
    return FoundSamples(table, account)


@lru_cache(maxsize=1)
def _uids_of(paths: tuple[Path, ...]) -> NDArray[np.void]:
    return read_uid_files(paths)


def join_samples(found: Sequence[FoundSamples]) -> tuple[SampleTable, Account]:
    """Return the first sample of every uid, in the order of the shards, and what became of all samples.

    Later samples with the same uid are counted as `duplicate_uid`.
    """
    tables = [part.samples for part in found]
    starts = np.cumsum([0, *(len(table.offsets) for table in tables)])[:-1]
    whole = SampleTable(
        paths=tuple(path for table in tables for path in table.paths),
        uids=np.concatenate([table.uids for table in tables]),
        keys=np.concatenate([table.keys for table in tables]),
        tars=np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
        ends=np.concatenate([table.ends + start for table, start in zip(tables, starts, strict=True)]),
        offsets=np.concatenate([table.offsets for table in tables]),
        sizes=np.concatenate([table.sizes for table in tables]),
        suffixes=np.concatenate([table.suffixes for table in tables]),
    )
    account = Account.total(part.account for part in found)
    _, first_rows = sort_uids(whole.uids)
    num_lost = len(whole) - len(first_rows)
    if not num_lost:
        return whole, account
    rejected = dict(sorted({**account.rejected, DUPLICATE_UID: num_lost}.items()))
    return whole.take(np.sort(first_rows)), Account(num_in=account.num_in, num_kept=len(first_rows), rejected=rejected)
