from __future__ import annotations

import itertools

import pytest

from oqvl_filter import run
from oqvl_filter.config import EstimateConfig, ScoreConfig
from oqvl_filter.estimation import NUM_GROUPS, measure_pace
from oqvl_filter.scorers.rules import RulesScorer
from oqvl_shards.errors import DataError
from oqvl_shards.sample import ReadLimits


def test_the_pace_is_of_the_groups_and_the_start_stands_apart(make_pool, plain_pairs, pair, picture):
    shards = [plain_pairs(10, start=10 * n) for n in range(12)]
    shards[0][3] = pair("broken", picture()[:30], "broken")
    # The clock: 1 s to read a shard of ten samples; 50 s to start; 2 s for a group of ten; 6 s for two files.
    readings = itertools.accumulate([0, 1, 0, 50, *[0, 2, 0, 1] * (NUM_GROUPS - 1), 0, 2, 0, 6])
    pace = measure_pace(
        make_pool(shards), RulesScorer(ReadLimits()), ReadLimits(), 80, 0, clock=lambda: float(next(readings))
    )
    assert pace.start_seconds == 50
    assert pace.sample_seconds == pace.low == pace.high == pytest.approx(0.3)
    assert pace.shard_seconds == 9  # the rules have two columns that are counted over the pool
    assert pace.account.num_in == 80
    assert pace.account.rejected == {"image_broken": 1}


def test_a_pace_that_varies_has_an_interval(make_pool, plain_pairs):
    readings = itertools.accumulate([0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0])
    pool = make_pool([plain_pairs(1), plain_pairs(1, start=5)])
    pace = measure_pace(pool, RulesScorer(ReadLimits()), ReadLimits(), 2, 0, clock=lambda: float(next(readings)))
    assert pace.sample_seconds == 2
    assert pace.low < 1 < 3 < pace.high


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "expected"), [(80, 1, [10] * 8), (40, 8, [8] * 5), (40, 30, [30]), (9, 30, [9])]
)
def test_groups_are_whole_batches(make_pool, plain_pairs, num_samples: int, batch_size: int, expected: list[int]):
    groups: list[int] = []

    class Counting(RulesScorer):
        def score_shard(self, reader, samples):
            groups.append(len(samples))
            return super().score_shard(reader, samples)

    pool = make_pool([plain_pairs(40, start=40 * n) for n in range(8)])
    measure_pace(pool, Counting(ReadLimits()), ReadLimits(), num_samples, 0, batch_size)
    assert groups == [1, *expected]


def test_the_forecast_is_for_the_whole_pool(make_pool, plain_pairs, tmp_path):
    pool = make_pool([plain_pairs(60), plain_pairs(60, start=60)])
    one, four = (
        run.estimate(EstimateConfig(pool=pool.path, num_samples=40, num_workers=n, price_per_hour=2.0)) for n in (1, 4)
    )
    assert (one.num_samples, one.num_measured, one.num_rejected) == (120, 40, 0)
    assert one.hours[1] <= one.hours[0] <= one.hours[2]
    assert one.cost[0] == pytest.approx(2 * one.hours[0])
    assert four.cost[0] == pytest.approx(8 * four.hours[0])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    written = sum((tmp_path / "rules" / f"{n:05d}.parquet").stat().st_size for n in range(2))
    assert written * 0.7 < one.num_bytes < written * 1.3
    assert "samples/s a worker" in one.table()
    assert "cost" in one.table()


def test_an_empty_pool_has_no_forecast(make_pool):
    with pytest.raises(DataError, match="no samples"):
        run.estimate(EstimateConfig(pool=make_pool([[]]).path))
