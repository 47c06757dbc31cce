"""The forecast by hand, and its arithmetic as properties."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.interval import Z_95
from oqvl_filter.scorers import estimation
from oqvl_filter.scorers.estimation import Pace, forecast
from oqvl_shards.manifest import Account

ACCOUNT = Account(num_in=1, num_kept=1)


def pace_of(**values: float) -> Pace:
    seconds = {"start_seconds": 0.0, "sample_seconds": 0.0, "low": 0.0, "high": 0.0, "shard_seconds": 0.0}
    return Pace(**{**seconds, "row_bytes": 0.0, "file_bytes": 0.0, **values}, account=ACCOUNT)  # type: ignore[arg-type]


def test_a_forecast_by_hand():
    """10,000 samples in 20 shards on 4 workers at 3 an hour: 60 + (10,000 x 0.9 + 20 x 18) / 4 = 2400 seconds."""
    pace = pace_of(
        start_seconds=60, sample_seconds=0.9, low=0.5, high=1.3, shard_seconds=18, row_bytes=12.5, file_bytes=1000
    )
    made = forecast(pace, num_samples=10_000, num_shards=20, num_workers=4, price_per_hour=3)
    assert made.hours == pytest.approx((2400 / 3600, 1400 / 3600, 3400 / 3600))
    assert made.cost == pytest.approx((8.0, 14 / 3, 34 / 3))
    assert made.num_bytes == 10_000 * 12.5 + 20 * 1000


seconds = st.floats(0, 1000)
counts = st.integers(0, 10**6)


@given(seconds, seconds, seconds, counts, st.integers(0, 1000), st.integers(1, 64), st.floats(0, 100))
def test_work_is_divided_and_the_start_is_not(start, sample, shard, num_samples, num_shards, num_workers, price):
    pace = pace_of(start_seconds=start, sample_seconds=sample, low=sample / 2, high=2 * sample, shard_seconds=shard)
    sizes = {"num_samples": num_samples, "num_shards": num_shards, "price_per_hour": price}
    one, several = (forecast(pace, num_workers=workers, **sizes) for workers in (1, num_workers))
    alone = start / 3600
    assert several.hours[0] - alone == pytest.approx((one.hours[0] - alone) / num_workers, abs=1e-6)
    assert several.hours[1] <= several.hours[0] <= several.hours[2]
    assert several.cost == pytest.approx([hours * price * num_workers for hours in several.hours])
    assert several.cost[0] >= one.cost[0] * (1 - 1e-9), "more workers load the model more often"
    assert several.num_bytes == one.num_bytes


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=8))
def test_the_interval_is_the_normal_one_and_of_one_value_its_double(values: list[float]):
    mean, low, high = estimation._mean_with_interval(values)
    assert mean == pytest.approx(sum(values) / len(values))
    if len(values) == 1:
        assert (low, high) == (0, 2 * mean)
        return
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    error = Z_95 * (variance / len(values)) ** 0.5
    assert high == pytest.approx(mean + error, abs=1e-6)
    assert low == pytest.approx(max(mean - error, 0), abs=1e-6)


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 12), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_groups_are_spread_over_the_shards_that_hold_samples(seed, num_samples, batch_size, sizes):
    shards = [SimpleNamespace(path=str(place), num_samples=size) for place, size in enumerate(sizes)]
    filled = [shard for shard in shards if shard.num_samples]
    if not filled:
        return
    pool = SimpleNamespace(manifest=SimpleNamespace(shards=shards))
    chosen, group_size = estimation._spread(pool, num_samples, batch_size)  # type: ignore[arg-type]
    places = [[shard.path for shard in filled].index(shard.path) for shard in chosen]
    assert places == sorted(set(places))
    assert 1 <= len(chosen) <= min(estimation.NUM_GROUPS, len(filled))
    assert places[0] == 0
    assert len(chosen) == 1 or places[-1] == len(filled) - 1
    assert group_size >= 1
    assert group_size % batch_size == 0 or group_size < batch_size
