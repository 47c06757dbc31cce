"""Copy selected samples into new shards: whole members by byte range, nothing decoded, nothing encoded again.

Finding the samples reads the headers and the json members of the pools, once; what lies where is kept in arrays of some
60 bytes a sample, so that new shards are made in any order without reading the pools' headers again. S is the number of
samples, M that of their members.
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
from oqvl_filter.uid_array import hash_uids, locate, pack_uids, read_uid_files, sort_uids
from oqvl_shards.errors import DataError
from oqvl_shards.garbage import collector_paused
from oqvl_shards.manifest import Account
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.tar.index import BLOCK_SIZE, Member
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.uid import array_to_uids

NOT_SELECTED = "not_selected"
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
    """Samples and where their members lie.

    Args:
        paths: Tars.
        uids: [S] of dtype `UID_DTYPE`.
        keys: [S] keys, as objects.
        tars: [S] indices into `paths`.
        ends: [S] where each sample's members end in the arrays below; they begin where those of the one before end.
        offsets: [M] where the members' content begins, in bytes.
        sizes: [M] bytes of the content.
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
        """Members [S] of each sample."""
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
        members = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.ends[rows] - ends, counts)
        used, tars = np.unique(self.tars[rows], return_inverse=True)
        paths = tuple(self.paths[tar] for tar in used.tolist())
        columns = (self.offsets[members], self.sizes[members], self.suffixes[members])
        return SampleTable(paths, self.uids[rows], self.keys[rows], tars, ends, *columns)

    def pieces(self, keys: Sequence[str]) -> Iterator[tuple[Path, list[Member]]]:
        """Yield the members, in order, with names of the new `keys` [S]: those that come from one tar together."""
        keys_M, tars_M = np.repeat(np.array(keys, dtype=object), self.counts), np.repeat(self.tars, self.counts)
        names = map("{}.{}".format, keys_M.tolist(), self.suffixes.tolist())
        members = list(map(Member._make, zip(names, self.offsets.tolist(), self.sizes.tolist(), strict=True)))
        starts = np.flatnonzero(np.diff(tars_M, prepend=-1)).tolist()
        for begin, end in pairwise([*starts, len(members)]):
            yield self.paths[tars_M[begin]], members[begin:end]


@dataclass(frozen=True)
class FoundSamples:
    """Samples of one shard that are in the subset.

    Args:
        samples: Where they are.
        account: What became of all samples of the shard.
    """

    samples: SampleTable
    account: Account


@dataclass(frozen=True)
class CopyJob:
    """One new shard.

    Args:
        file_name: Of the tar to write.
        samples: What goes into it, in order.
        keys: `uid` or `original`.
        directory: The dataset's directory.
        step: Digest of the step's lineage.
    """

    file_name: str
    samples: SampleTable
    keys: str
    directory: Path
    step: str

    def __str__(self) -> str:
        return str(self.directory / self.file_name)


def find_samples(shard: PoolShard, subset: tuple[Path, ...]) -> FoundSamples:
    """Return the samples of `shard` that are in a subset and can be read; the account counts the others.

    Args:
        shard: Where to look.
        subset: The files of the subset: what travels to workers is their paths, not their uids.

    Raises:
        DataError: When the shard holds other samples than its manifest says.
    """
    with collector_paused(), ShardReader(shard.path, name=shard.name) as reader:
        check_count(reader, shard.num_samples)
        samples = pool_samples(reader, shard.pool_name)
    uids_N = pack_uids(sample.uid.value for sample in samples)
    selected = np.flatnonzero(locate(_uids_of(subset), uids_N) >= 0).tolist()
    rejected = Counter(str(samples[row].reject) for row in selected if samples[row].reject)
    rejected[NOT_SELECTED] = len(samples) - len(selected)
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

    Later ones are counted as `duplicate_uid`.
    """
    tables = [one.samples for one in found]
    num_members = np.cumsum([0, *(len(table.offsets) for table in tables)])
    whole = SampleTable(
        paths=tuple(path for table in tables for path in table.paths),
        uids=np.concatenate([table.uids for table in tables]),
        keys=np.concatenate([table.keys for table in tables]),
        tars=np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
        ends=np.concatenate([table.ends + start for table, start in zip(tables, num_members[:-1], strict=True)]),
        offsets=np.concatenate([table.offsets for table in tables]),
        sizes=np.concatenate([table.sizes for table in tables]),
        suffixes=np.concatenate([table.suffixes for table in tables]),
    )
    account = Account.total(one.account for one in found)
    _, first_rows = sort_uids(whole.uids)
    num_lost = len(whole) - len(first_rows)
    if not num_lost:
        return whole, account
    rejected = dict(sorted({**account.rejected, DUPLICATE_UID: num_lost}.items()))
    return whole.take(np.sort(first_rows)), Account(num_in=account.num_in, num_kept=len(first_rows), rejected=rejected)


def check_keys(samples: SampleTable) -> None:
    """Raise `DataError` when two samples have the same key, so that original keys cannot be kept."""
    counts = Counter(samples.keys.tolist())
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} keys belong to several selected samples, the first is {repeated[0]!r}",
            hint="use keys=uid, which are distinct",
        )


def shuffled(samples: SampleTable, seed: int) -> NDArray[np.int64]:
    """Return the rows in an order that depends on the uids and `seed` alone, not on where the samples lie."""
    uids = samples.uids
    return np.lexsort((uids["f1"], uids["f0"], hash_uids(uids, seed)))


def fill_shards(
    samples: SampleTable, order: NDArray[np.int64], max_samples: int, max_bytes: int | None
) -> Iterator[SampleTable]:
    """Yield what each new shard holds: as many samples in `order` as fit, the last one the rest.

    Args:
        samples: All samples.
        order: Rows, in the order of the output.
        max_samples: Of one shard.
        max_bytes: Of one shard's members and headers; a sample above it has a shard of its own. None: no bound.
    """
    sums = np.cumsum(samples.num_bytes[order])
    start = 0
    while start < len(order):
        stop = min(start + max_samples, len(order))
        if max_bytes is not None:
            before = sums[start - 1] if start else 0
            stop = min(stop, max(start + 1, int(np.searchsorted(sums, before + max_bytes, side="right"))))
        yield samples.take(order[start:stop])
        start = stop


def copy_samples(job: CopyJob) -> Receipt:
    """Write one new shard, unless the same step has done so already; return its receipt."""
    finished = read_receipt(job.directory, job.file_name, job.step)
    if finished is not None:
        return finished
    samples = job.samples
    with TarWriter(job.directory / job.file_name) as tar:
        keys = samples.keys.tolist() if job.keys == "original" else [f"{uid}-0" for uid in array_to_uids(samples.uids)]
        for path, members in samples.pieces(keys):
            tar.copy(path, members)
    count = len(samples)
    receipt = Receipt(
        step=job.step, shard=tar.shard(count, job.directory), account=Account(num_in=count, num_kept=count)
    )
    write_receipt(job.directory, receipt)
    return receipt
