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
    readings = itertools.accumulate([0, 50, *[0, 2] * NUM_GROUPS])  # the clock: 50 s to start, then 2 s a group
    pace = measure_pace(
        make_pool(shards), RulesScorer(ReadLimits()), ReadLimits(), 80, 0, clock=lambda: float(next(readings))
    )
    assert pace.start_seconds == 50
    assert pace.sample_seconds == pace.low == pace.high == pytest.approx(0.2)
    assert pace.account.num_in == 80
    assert pace.account.rejected == {"image_broken": 1}


def test_a_pace_that_varies_has_an_interval(make_pool, plain_pairs):
    readings = itertools.accumulate([0, 0, 0, 1, 0, 3])
    pool = make_pool([plain_pairs(1), plain_pairs(1, start=5)])
    pace = measure_pace(pool, RulesScorer(ReadLimits()), ReadLimits(), 2, 0, clock=lambda: float(next(readings)))
    assert pace.sample_seconds == 2
    assert pace.low < 1 < 3 < pace.high


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
    assert written / 4 < one.num_bytes < written * 4
    assert "samples/s a worker" in one.table()
    assert "cost" in one.table()


def test_an_empty_pool_has_no_forecast(make_pool):
    with pytest.raises(DataError, match="no samples"):
        run.estimate(EstimateConfig(pool=make_pool([[]]).path))
