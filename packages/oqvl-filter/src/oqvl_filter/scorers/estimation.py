"""Predict what scoring a pool will take, from a few hundred of its samples: time, cost, disk.

The samples come from shards spread over the pool. From each shard a first batch is scored alone, and then again
together with the batches after it:

    difference of the two                 the pace: seconds per sample while threads decode ahead of the model
    first batch, above that pace          paid once per shard, like the writing of its score file
    very first batch, above its repeat    paid once: loading the model and warming it up

The score files are tried in a temporary directory. The spread of the shards' paces gives the interval of the forecast.
The start of Python is not included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from oqvl_filter.interval import Z_95
from oqvl_filter.pool import PoolSample, check_count, pool_samples
from oqvl_filter.score_file import account_of
from oqvl_filter.scorers.scorer import Scorer
from oqvl_filter.scorers.scoring import ScoringJob, score_table, write_score_file
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account, Shard
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.uid import UID_DTYPE, uid_to_words

NUM_GROUPS = 8
"""Maximum number of groups of samples, each from a shard of its own if there are as many shards."""

_Clock = Callable[[], float]
_Triple = tuple[float, float, float]
"""Expected value, and lower and upper end of its 95% interval."""


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Args:
        start_seconds: Once: the fingerprint, and loading and warming up the model.
        sample_seconds: Per sample after that.
        low: Lower end of its 95% interval.
        high: Upper end.
        shard_seconds: Per shard: until the model has its first batch, and writing the score file.
        row_bytes: Bytes of the score files per sample.
        file_bytes: Bytes of a score file in addition to its rows.
        account: What became of the measured samples.
    """

    start_seconds: float
    sample_seconds: float
    low: float
    high: float
    shard_seconds: float
    row_bytes: float
    file_bytes: float
    account: Account


@dataclass(frozen=True)
class Forecast:
    """What scoring a whole pool will take.

    Args:
        hours: Time on all workers together, expected, low and high.
        cost: Price of the workers for that time, expected, low and high.
        num_bytes: Size of the score files.
    """

    hours: _Triple
    cost: _Triple
    num_bytes: int


def forecast(pace: Pace, *, num_samples: int, num_shards: int, num_workers: int, price_per_hour: float) -> Forecast:
    """Extrapolate a measured pace to a whole pool.

    Every worker loads the model once, at the same time as the others; the samples and shards are divided among them.

    Args:
        pace: What was measured.
        num_samples: Samples of the pool.
        num_shards: Shards of the pool.
        num_workers: Processes, or devices, that score at this pace.
        price_per_hour: Price of one of them.
    """

    def hours(sample_seconds: float) -> float:
        work_seconds = sample_seconds * num_samples + pace.shard_seconds * num_shards
        return (pace.start_seconds + work_seconds / num_workers) / 3600

    expected, low, high = hours(pace.sample_seconds), hours(pace.low), hours(pace.high)
    price = price_per_hour * num_workers
    return Forecast(
        hours=(expected, low, high),
        cost=(expected * price, low * price, high * price),
        num_bytes=round(pace.row_bytes * num_samples + pace.file_bytes * num_shards),
    )


def measure_pace(
    pool: Dataset,
    scorer: Scorer,
    limits: ReadLimits,
    *,
    num_samples: int,
    seed: int,
    batch_size: int = 1,
    clock: _Clock = time.perf_counter,
) -> Pace:
    """Score some samples of `pool` and return what they took; no scores are kept.

    More samples narrow the interval and cost their own time; the first batch of every measured shard is scored twice,
    and that of the first shard three times, which is what separates the three kinds of cost.

    Args:
        pool: Dataset of kind image_text, not empty.
        scorer: The scorer.
        limits: Caps on what is read from a sample.
        num_samples: Samples that give the pace, spread over some shards in whole batches; fewer if the shards have
            fewer. One batch more of each of these shards is scored before them.
        seed: Seed of the hash that picks the samples of a shard.
        batch_size: Samples that the scorer takes at once.
        clock: Returns the time in seconds.

    Raises:
        DataError: If a shard cannot be read.
    """
    shards, group_size = _spread(pool, num_samples, batch_size)

    # Taking the fingerprint may load the model, so it counts as part of the start.
    started = clock()
    scorer.fingerprint()
    cold_seconds = clock() - started

    # Each shard is one measurement. The very first batch is scored once more up front, to load and warm up the model.
    groups: list[_Group] = []
    for shard in shards:
        started = clock()
        with ShardReader(pool.whole_shard_path(shard), limits, name=shard.path) as reader:
            check_count(reader, shard.num_samples)
            # The manifest counts the first ones; what the reader rejects comes after them.
            samples = pool_samples(reader, pool.manifest.name)[: shard.num_samples]
            reading_seconds = (clock() - started) / len(samples)
            chosen = _pick(samples, batch_size + group_size, seed)
            if not groups:
                cold_seconds += _score(reader, chosen[:batch_size], scorer, clock)[0]
            groups.append(_measure_group(reader, chosen, scorer, batch_size, reading_seconds, clock))

    # Two files are written here; a run rewrites its files once for each column that counts over the whole pool.
    started = clock()
    row_bytes, file_bytes = _measure_files([group.table for group in groups])
    writing_seconds = (clock() - started) / 2 * (1 + len(scorer.counted))

    sample_seconds, low, high = _mean_with_interval([group.sample_seconds for group in groups])
    return Pace(
        start_seconds=max(cold_seconds - groups[0].first_seconds, 0.0),
        sample_seconds=sample_seconds,
        low=low,
        high=high,
        shard_seconds=writing_seconds + max(float(np.mean([group.shard_seconds for group in groups])), 0.0),
        row_bytes=row_bytes,
        file_bytes=file_bytes,
        account=Account.total(account_of(group.table) for group in groups),
    )


def _spread(pool: Dataset, num_samples: int, batch_size: int) -> tuple[list[Shard], int]:
    """Return shards evenly spread over the pool, and the number of samples, in whole batches, to time in each."""
    shards = [shard for shard in pool.manifest.shards if shard.num_samples]
    num_groups = min(NUM_GROUPS, max(num_samples // batch_size, 1))
    places = np.unique(np.linspace(0, len(shards) - 1, num_groups).round().astype(int)).tolist()
    group_size = -(-num_samples // len(places))
    group_size = max(group_size // batch_size * batch_size, min(group_size, batch_size))
    return [shards[place] for place in places], group_size


def _mean_with_interval(values: Sequence[float]) -> _Triple:
    """Return the mean and its 95% interval, cut off at 0; a single value may be anything from 0 to its double."""
    mean = float(np.mean(values))
    error = Z_95 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else mean
    return mean, max(mean - error, 0.0), mean + error


@dataclass(frozen=True)
class _Group:
    """What the samples of one shard took, in seconds.

    Args:
        first_seconds: The first batch alone.
        sample_seconds: Per sample after it.
        shard_seconds: Once per shard, in addition to its samples.
        table: The scores.
    """

    first_seconds: float
    sample_seconds: float
    shard_seconds: float
    table: pa.Table


def _pick(samples: Sequence[PoolSample], count: int, seed: int) -> list[PoolSample]:
    """Return a random `count` of `samples`, or all if there are fewer, in their order."""
    uids_N = np.array([uid_to_words(sample.uid.value) for sample in samples], dtype=UID_DTYPE)
    order = np.argsort(hash_uids(uids_N, seed), kind="stable")
    return [samples[row] for row in sorted(order[:count].tolist())]


def _measure_group(
    reader: ShardReader,
    samples: Sequence[PoolSample],
    scorer: Scorer,
    batch_size: int,
    reading_seconds: float,
    clock: _Clock,
) -> _Group:
    """Score the first batch of `samples`, then all of them, and split the difference into pace and cost per shard.

    Args:
        reader: The open shard.
        samples: The picked samples.
        scorer: The scorer.
        batch_size: Samples of the first batch.
        reading_seconds: Time per sample that finding the samples in the shard took.
        clock: Returns the time in seconds.
    """
    first = samples[:batch_size]
    first_seconds, table = _score(reader, first, scorer, clock)
    if len(samples) == len(first):
        return _Group(first_seconds, reading_seconds + first_seconds / len(first), shard_seconds=0.0, table=table)
    whole_seconds, table = _score(reader, samples, scorer, clock)
    pace = max(whole_seconds - first_seconds, 0.0) / (len(samples) - len(first))
    return _Group(first_seconds, reading_seconds + pace, shard_seconds=first_seconds - len(first) * pace, table=table)


def _score(reader: ShardReader, samples: Sequence[PoolSample], scorer: Scorer, clock: _Clock) -> tuple[float, pa.Table]:
    """Return how many seconds scoring `samples` took, and the scores."""
    started = clock()
    table = score_table(samples, scorer.score_shard(reader, samples), scorer.columns)
    return clock() - started, table


def _measure_files(tables: Sequence[pa.Table]) -> tuple[float, float]:
    """Write all rows and half of them; return the bytes per row, and those of a file in addition to its rows."""
    whole = pa.concat_tables(tables)
    half = whole.slice(0, len(whole) // 2)
    num_bytes = []
    with tempfile.TemporaryDirectory() as name:
        for table in (half, whole):
            job = ScoringJob(
                source=Path(name),
                source_name="",
                num_samples=len(table),
                pool_name="",
                directory=Path(name),
                file_name=f"{len(table)}.parquet",
                step="0" * 64,
            )
            num_bytes.append(write_score_file(table, job).shard.num_bytes)
    small, large = num_bytes
    row_bytes = max(large - small, 0) / max(len(whole) - len(half), 1)
    return row_bytes, max(large - row_bytes * len(whole), 0.0)
