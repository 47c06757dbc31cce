"""Copy selected samples into new shards: whole members by byte range, nothing decoded, nothing encoded again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.pool import DUPLICATE_UID, pool_samples
from oqvl_filter.uid_array import contains, sort_uids
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.reader import ShardReader
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.sample import split_name
from oqvl_shards.tar_writer import TarWriter
from oqvl_shards.uid import UID_DTYPE, uid_to_words, words_to_uid

NOT_SELECTED = "not_selected"
"""Reason of a sample whose uid is not in the subset."""


@dataclass(frozen=True)
class PoolShard:
    """A shard to copy from.

    Args:
        path: The tar.
        name: Its path below the pool's directory.
        pool_name: The pool's name.
    """

    path: Path
    name: str
    pool_name: str

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class FoundSamples:
    """Samples of one shard that are in the subset.

    Args:
        shard: Where they are.
        rows: [S] their places among the reader's samples, ascending.
        uids: [S] of dtype `UID_DTYPE`.
        keys: [S] their keys.
        account: What became of all samples of the shard.
    """

    shard: PoolShard
    rows: NDArray[np.int64]
    uids: NDArray[np.void]
    keys: tuple[str, ...]
    account: Account

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, start: int, stop: int) -> FoundSamples:
        """Return the samples from `start` to before `stop`; the account stays that of the shard."""
        places = slice(start, stop)
        return FoundSamples(self.shard, self.rows[places], self.uids[places], self.keys[places], self.account)

    def drop(self, duplicates: NDArray[np.bool_]) -> FoundSamples:
        """Return the samples outside the mask `duplicates` [S]; the account names them."""
        kept = np.flatnonzero(~duplicates)
        num_dropped = len(self) - len(kept)
        rejected = dict(self.account.rejected) | ({DUPLICATE_UID: num_dropped} if num_dropped else {})
        account = Account(num_in=self.account.num_in, num_kept=len(kept), rejected=rejected)
        keys = tuple(self.keys[place] for place in kept)
        return FoundSamples(self.shard, self.rows[kept], self.uids[kept], keys, account)


@dataclass(frozen=True)
class CopyJob:
    """One new shard.

    Args:
        file_name: Of the tar to write.
        sources: Its samples, in order.
        keys: `uid` or `original`.
        directory: The dataset's directory.
        step: Digest of the step's lineage.
    """

    file_name: str
    sources: tuple[FoundSamples, ...]
    keys: str
    directory: Path
    step: str

    def __str__(self) -> str:
        return str(self.directory / self.file_name)


def find_samples(shard: PoolShard, subset: NDArray[np.void]) -> FoundSamples:
    """Return the samples of `shard` that are in `subset` and can be read; the account counts the others."""
    with ShardReader(shard.path, name=shard.name) as reader:
        samples = pool_samples(reader, shard.pool_name)
    uids_N = np.array([uid_to_words(sample.uid.value) for sample in samples], dtype=UID_DTYPE)
    selected = np.flatnonzero(contains(subset, uids_N)).tolist()
    rejected = Counter(str(samples[row].reject) for row in selected if samples[row].reject)
    rejected[NOT_SELECTED] = len(samples) - len(selected)
    rows = [row for row in selected if not samples[row].reject]
    account = Account(num_in=len(samples), num_kept=len(rows), rejected=dict(+rejected))
    keys = tuple(samples[row].sample.key for row in rows)
    return FoundSamples(shard, np.array(rows, dtype=np.int64), uids_N[rows], keys, account)


def drop_duplicates(found: Sequence[FoundSamples]) -> list[FoundSamples]:
    """Keep the first sample of every uid over all shards; the others are counted as `duplicate_uid`."""
    uids = np.concatenate([one.uids for one in found])
    _, first_rows = sort_uids(uids)
    is_duplicate = np.ones(len(uids), dtype=bool)
    is_duplicate[first_rows] = False
    ends = np.cumsum([len(one) for one in found])
    return [one.drop(mask) for one, mask in zip(found, np.split(is_duplicate, ends[:-1]), strict=True)]


def check_keys(found: Sequence[FoundSamples]) -> None:
    """Raise `DataError` when two samples have the same key, so that original keys cannot be kept."""
    counts = Counter(key for one in found for key in one.keys)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} keys belong to several selected samples, the first is {repeated[0]!r}",
            hint="use keys=uid, which are distinct",
        )


def fill_shards(found: Sequence[FoundSamples], samples_per_shard: int) -> Iterator[tuple[FoundSamples, ...]]:
    """Yield what each new shard holds: `samples_per_shard` samples in the order of the pools, the last one the rest."""
    pending: list[FoundSamples] = []
    room = samples_per_shard
    for one in found:
        start = 0
        while start < len(one):
            part = one.take(start, start + room)
            pending.append(part)
            start += len(part)
            room -= len(part)
            if room == 0:
                yield tuple(pending)
                pending, room = [], samples_per_shard
    if pending:
        yield tuple(pending)


def copy_samples(job: CopyJob) -> Receipt:
    """Write one new shard, unless the same step has done so already; return its receipt."""
    finished = read_receipt(job.directory, job.file_name, job.step)
    if finished is not None:
        return finished
    with TarWriter(job.directory / job.file_name) as tar:
        for source in job.sources:
            with ShardReader(source.shard.path, name=source.shard.name) as reader:
                for row, uid, key in zip(source.rows.tolist(), source.uids.tolist(), source.keys, strict=True):
                    name = key if job.keys == "original" else f"{words_to_uid(*uid)}-0"
                    for member in reader.samples[row].members:
                        tar.copy(reader.fileno(), member, f"{name}.{split_name(member.name)[1]}")
    count = sum(len(source) for source in job.sources)
    receipt = Receipt(
        step=job.step, shard=tar.shard(count, job.directory), account=Account(num_in=count, num_kept=count)
    )
    write_receipt(job.directory, receipt)
    return receipt
