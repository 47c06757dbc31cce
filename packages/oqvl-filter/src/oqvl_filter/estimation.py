"""What scoring a pool will take, from a few hundred of its samples: time, cost, disk.

The samples come from shards spread over the pool. Of each shard a first batch is scored alone, and then again with the
batches after it. The difference is the pace: what a sample takes while threads decode ahead of the model. What the
first batch takes above that pace comes once a shard, as does the writing of its score file, which is tried in a
temporary directory. What the very first batch takes above its second time comes once: loading and warming up the
model, and with it the fingerprint. The spread of the shards' pace gives the interval of the forecast. The start of
Python is not in it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from oqvl_filter.pages.calibration import Z_95
from oqvl_filter.pool import PoolSample, check_count, pool_samples
from oqvl_filter.score_file import account_of, score_table
from oqvl_filter.scorer import Scorer
from oqvl_filter.scoring import ScoringJob, write_score_file
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.uid import UID_DTYPE, uid_to_words

NUM_GROUPS = 8
"""Groups of samples at most, each from a shard of its own where there are as many."""


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Args:
        start_seconds: Once: for the fingerprint, and for loading and warming up the model.
        sample_seconds: Per sample after that.
        low: Lower end of its 95% interval.
        high: Upper end.
        shard_seconds: Per shard: until the model has its first batch, and for writing the score file.
        row_bytes: Bytes of the score files per sample.
        file_bytes: Bytes of a score file beside its rows.
        account: What became of the samples.
    """

    start_seconds: float
    sample_seconds: float
    low: float
    high: float
    shard_seconds: float
    row_bytes: float
    file_bytes: float
    account: Account


def measure_pace(
    pool: Dataset,
    scorer: Scorer,
    limits: ReadLimits,
    num_samples: int,
    seed: int,
    batch_size: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Score some of `pool` and return what they took; no scores are kept.

    Args:
        pool: Dataset of kind image_text, not empty.
        scorer: The scorer.
        limits: Caps on what is read from a sample.
        num_samples: Samples that give the pace, spread over some shards in whole batches, fewer when those have fewer;
            of each of these shards a batch more is scored before them.
        seed: Of the hash that picks the samples of a shard.
        batch_size: Samples that the scorer takes at once.
        clock: Gives the time in seconds.

    Raises:
        DataError: When a shard cannot be read.
    """
    shards = [shard for shard in pool.manifest.shards if shard.num_samples]
    num_groups = min(NUM_GROUPS, max(num_samples // batch_size, 1))
    places = np.unique(np.linspace(0, len(shards) - 1, num_groups).round().astype(int)).tolist()
    per_group = -(-num_samples // len(places))
    per_group = max(per_group // batch_size * batch_size, min(per_group, batch_size))
    started = clock()
    scorer.fingerprint()
    cold_seconds = clock() - started
    groups: list[_Group] = []
    for place in places:
        shard = shards[place]
        started = clock()
        with ShardReader(pool.whole_shard_path(shard), limits, name=shard.path) as reader:
            check_count(reader, shard.num_samples)
            # Those that the manifest counts: what the reader rejects comes after them.
            samples = pool_samples(reader, pool.manifest.name)[: shard.num_samples]
            reading = (clock() - started) / len(samples)
            chosen = _pick(samples, batch_size + per_group, seed)
            if not groups:
                cold_seconds += _score(reader, chosen[:batch_size], scorer, clock)[0]
            groups.append(_measure_group(reader, chosen, scorer, batch_size, clock, reading))
    paces = [group.sample_seconds for group in groups]
    mean = float(np.mean(paces))
    error = Z_95 * float(np.std(paces, ddof=1)) / len(paces) ** 0.5 if len(paces) > 1 else mean
    started = clock()
    row_bytes, file_bytes = _measure_files([group.table for group in groups])
    # Two files were written; those with columns that are counted over the pool are written again for each of them.
    writing = (clock() - started) / 2 * (1 + len(scorer.counted))
    return Pace(
        start_seconds=max(cold_seconds - groups[0].first_seconds, 0.0),
        sample_seconds=mean,
        low=max(mean - error, 0.0),
        high=mean + error,
        shard_seconds=writing + max(float(np.mean([group.shard_seconds for group in groups])), 0.0),
        row_bytes=row_bytes,
        file_bytes=file_bytes,
        account=Account.total(account_of(group.table) for group in groups),
    )


@dataclass(frozen=True)
class _Group:
    """What samples of one shard took, in seconds: the first batch alone, each sample, the shard beside its samples."""

    first_seconds: float
    sample_seconds: float
    shard_seconds: float
    table: pa.Table


def _pick(samples: Sequence[PoolSample], count: int, seed: int) -> list[PoolSample]:
    """Return `count` of `samples`, or all when there are fewer, picked by chance, in their order."""
    uids_N = np.array([uid_to_words(one.uid.value) for one in samples], dtype=UID_DTYPE)
    order = np.argsort(hash_uids(uids_N, seed), kind="stable")
    return [samples[row] for row in sorted(order[:count].tolist())]


def _measure_group(
    reader: ShardReader,
    samples: Sequence[PoolSample],
    scorer: Scorer,
    batch_size: int,
    clock: Callable[[], float],
    reading: float,
) -> _Group:
    """Score the first batch of `samples`, then all; `reading` is what a sample takes to be found in its shard."""
    first = samples[:batch_size]
    first_seconds, table = _score(reader, first, scorer, clock)
    if len(samples) == len(first):
        return _Group(first_seconds, reading + first_seconds / len(first), 0.0, table)
    whole_seconds, table = _score(reader, samples, scorer, clock)
    pace = max(whole_seconds - first_seconds, 0.0) / (len(samples) - len(first))
    return _Group(first_seconds, reading + pace, first_seconds - len(first) * pace, table)


def _score(
    reader: ShardReader, samples: Sequence[PoolSample], scorer: Scorer, clock: Callable[[], float]
) -> tuple[float, pa.Table]:
    """Return how many seconds the scores of `samples` took, and the scores."""
    started = clock()
    table = score_table(samples, scorer.score_shard(reader, samples), scorer.columns)
    return clock() - started, table


def _measure_files(tables: Sequence[pa.Table]) -> tuple[float, float]:
    """Write the rows, and half of them, and return the bytes of a row and those of a file beside its rows."""
    whole = pa.concat_tables(tables)
    half = whole.slice(0, len(whole) // 2)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        sizes = [
            write_score_file(table, ScoringJob(directory, "", 0, "", directory, f"{len(table)}.parquet", "0" * 64))
            for table in (half, whole)
        ]
    small, large = (receipt.shard.num_bytes for receipt in sizes)
    row_bytes = max(large - small, 0) / max(len(whole) - len(half), 1)
    return row_bytes, max(large - row_bytes * len(whole), 0.0)
