"""What scoring a pool will take, from a few hundred of its samples: time, cost, disk.

The samples come from shards spread over the pool and go through the scorer in small groups. The spread of the groups'
pace gives the interval of the forecast; the first group pays for loading the model, and is counted apart.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from oqvl_filter.pages.calibration import Z_95
from oqvl_filter.pool import check_count, pool_samples
from oqvl_filter.score_file import account_of, score_table
from oqvl_filter.scorer import Scorer
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.manifest import Account, Dataset
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits
from oqvl_shards.uid import UID_DTYPE, uid_to_words

NUM_GROUPS = 8
"""Groups of samples, each from a shard of its own where there are as many."""


@dataclass(frozen=True)
class Pace:
    """What was measured.

    Args:
        start_seconds: Until the first sample was scored: loading the model, and that sample.
        sample_seconds: Per sample after that.
        low: Lower end of its 95% interval.
        high: Upper end.
        row_bytes: Bytes of the score file per sample.
        account: What became of the samples.
    """

    start_seconds: float
    sample_seconds: float
    low: float
    high: float
    row_bytes: float
    account: Account


def measure_pace(
    pool: Dataset,
    scorer: Scorer,
    limits: ReadLimits,
    num_samples: int,
    seed: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Score `num_samples` of `pool` and return what they took; nothing is written.

    Args:
        pool: Dataset of kind image_text.
        scorer: The scorer.
        limits: Caps on what is read from a sample.
        num_samples: Samples to score, spread over `NUM_GROUPS` shards; fewer when those have fewer.
        seed: Of the hash that picks the samples of a shard.
        clock: Gives the time in seconds.
    """
    shards = pool.manifest.shards
    places = np.unique(np.linspace(0, len(shards) - 1, NUM_GROUPS).round().astype(int)).tolist()
    per_group = -(-num_samples // len(places))
    start_seconds, paces, sizes, accounts = 0.0, [], [], []
    for place in places:
        shard = shards[place]
        with ShardReader(pool.shard_path(shard), limits, name=shard.path) as reader:
            check_count(reader, shard.num_samples)
            samples = pool_samples(reader, pool.manifest.name)
            uids_N = np.array([uid_to_words(one.uid.value) for one in samples], dtype=UID_DTYPE)
            order = np.argsort(hash_uids(uids_N, seed), kind="stable")
            group = [samples[row] for row in sorted(order[:per_group].tolist())]
            if not paces:
                started = clock()
                scorer.score_shard(reader, group[:1])
                start_seconds = clock() - started
            started = clock()
            table = score_table(group, scorer.score_shard(reader, group), scorer.columns)
            paces.append((clock() - started) / max(len(group), 1))
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        sizes.append(buffer.tell())
        accounts.append(account_of(table))
    account = Account.total(accounts)
    mean = float(np.mean(paces))
    error = Z_95 * float(np.std(paces, ddof=1)) / len(paces) ** 0.5 if len(paces) > 1 else mean
    return Pace(start_seconds, mean, max(mean - error, 0.0), mean + error, sum(sizes) / max(account.num_in, 1), account)
