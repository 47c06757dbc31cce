"""What scoring a pool will take, from a few hundred of its samples: time, cost, disk.

The samples come from shards spread over the pool and go through the scorer in groups of whole batches. The spread of
the groups' pace gives the interval of the forecast. What comes once is counted apart: loading the model, and for every
shard the writing of its score file, which is tried in a temporary directory. The start of Python is not in it.
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
from oqvl_filter.pool import check_count, pool_samples
from oqvl_filter.score_file import account_of, score_table
from oqvl_filter.scorer import Scorer
from oqvl_filter.scoring import ScoringJob, write_score_file
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.manifest import Account, Dataset
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits
from oqvl_shards.uid import UID_DTYPE, uid_to_words

NUM_GROUPS = 8
"""Groups of samples at most, each from a shard of its own where there are as many."""


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Args:
        start_seconds: Until the first sample was scored: loading the model, and that sample.
        sample_seconds: Per sample after that.
        low: Lower end of its 95% interval.
        high: Upper end.
        shard_seconds: Per shard, for writing its score file.
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
    """Score `num_samples` of `pool` and return what they took; no scores are kept.

    Args:
        pool: Dataset of kind image_text.
        scorer: The scorer.
        limits: Caps on what is read from a sample.
        num_samples: Samples to score, spread over some shards in whole batches; fewer when those have fewer.
        seed: Of the hash that picks the samples of a shard.
        batch_size: Samples that the scorer takes at once.
        clock: Gives the time in seconds.

    Raises:
        DataError: When a shard cannot be read.
    """
    shards = pool.manifest.shards
    num_groups = min(NUM_GROUPS, max(num_samples // batch_size, 1))
    places = np.unique(np.linspace(0, len(shards) - 1, num_groups).round().astype(int)).tolist()
    per_group = -(-num_samples // len(places))
    per_group = max(per_group // batch_size * batch_size, min(per_group, batch_size))
    start_seconds, paces, tables = 0.0, [], []
    for place in places:
        shard = shards[place]
        started = clock()
        with ShardReader(pool.whole_shard_path(shard), limits, name=shard.path) as reader:
            check_count(reader, shard.num_samples)
            samples = pool_samples(reader, pool.manifest.name)
            reading = (clock() - started) / max(len(samples), 1)
            uids_N = np.array([uid_to_words(one.uid.value) for one in samples], dtype=UID_DTYPE)
            order = np.argsort(hash_uids(uids_N, seed), kind="stable")
            group = [samples[row] for row in sorted(order[:per_group].tolist())]
            if not paces:
                started = clock()
                scorer.score_shard(reader, group[:1])
                start_seconds = clock() - started
            started = clock()
            tables.append(score_table(group, scorer.score_shard(reader, group), scorer.columns))
            paces.append(reading + (clock() - started) / max(len(group), 1))
    mean = float(np.mean(paces))
    error = Z_95 * float(np.std(paces, ddof=1)) / len(paces) ** 0.5 if len(paces) > 1 else mean
    started = clock()
    row_bytes, file_bytes = _measure_files(tables)
    # Two files were written; those with columns that are counted over the pool are written again for each of them.
    shard_seconds = (clock() - started) / 2 * (1 + len(scorer.counted))
    account = Account.total(account_of(table) for table in tables)
    return Pace(
        start_seconds, mean, max(mean - error, 0.0), mean + error, shard_seconds, row_bytes, file_bytes, account
    )


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
