"""Copy selected samples into new shards: whole members by byte range. Nothing is decoded or encoded again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.resharding.sample_table import SampleTable
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.uid import array_to_uids


@dataclass(frozen=True)
class CopyJob:
    """One new shard.

    Args:
        file_name: Name of the tar to write.
        samples: Its samples, in order.
        keys: `uid` or `original`.
        directory: The dataset's directory.
        step: Digest of the stage's lineage.
    """

    file_name: str
    samples: SampleTable
    keys: str
    directory: Path
    step: str

    def __str__(self) -> str:
        return str(self.directory / self.file_name)


def check_keys(samples: SampleTable) -> None:
    """Raise `DataError` if two samples have the same key, so that original keys cannot be kept."""
    counts = Counter(samples.keys.tolist())
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{len(repeated)} keys belong to several selected samples; the first one is {repeated[0]!r}",
            hint="use keys=uid, which are distinct",
        )


def shuffled(samples: SampleTable, seed: int) -> NDArray[np.int64]:
    """Return the rows in an order that depends only on the uids and `seed`, not on the places of the samples."""
    uids = samples.uids
    return np.lexsort((uids["f1"], uids["f0"], hash_uids(uids, seed)))


def fill_shards(
    samples: SampleTable, order: NDArray[np.int64], max_samples: int, max_bytes: int | None
) -> Iterator[SampleTable]:
    """Yield the content of each new shard: as many samples in `order` as fit; the last one holds the rest.

    Args:
        samples: All samples.
        order: Rows, in the order of the output.
        max_samples: Maximum number of samples per shard.
        max_bytes: Maximum size of a shard's members and headers; a larger sample gets a shard of its own. None: no
            limit.
    """
    sums = np.cumsum(samples.num_bytes[order])
    start = 0
    while start < len(order):
        stop = min(start + max_samples, len(order))
        if max_bytes is not None:
            bytes_before = sums[start - 1] if start else 0
            stop = min(stop, max(start + 1, int(np.searchsorted(sums, bytes_before + max_bytes, side="right"))))
        yield samples.take(order[start:stop])
        start = stop


def copy_samples(job: CopyJob) -> Receipt:
    """Write one new shard, unless the same stage has done so already, and return its receipt."""
    finished = read_receipt(job.directory, job.file_name, job.step)
    if finished is not None:
        return finished
    samples = job.samples
    with TarWriter(job.directory / job.file_name) as tar:
        keys = samples.keys.tolist() if job.keys == "original" else [f"{uid}-0" for uid in array_to_uids(samples.uids)]
        for path, members in samples.pieces(keys):
            tar.copy(path, members)
    num_samples = len(samples)
    receipt = Receipt(
        step=job.step,
        shard=tar.shard(num_samples, job.directory),
        account=Account(num_in=num_samples, num_kept=num_samples),
    )
    return write_receipt(job.directory, receipt)
