from __future__ import annotations

import io
import itertools
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import EstimateConfig, ScoreConfig
from oqvl_filter.scorers.estimation import NUM_GROUPS, Pace, measure_pace
from oqvl_filter.scorers.rules import RulesScorer
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.importers.config import ImportWebdatasetConfig
from oqvl_shards.run import import_webdataset
from oqvl_shards.tar.sample import ReadLimits


class ClockedScorer(RulesScorer):
    """The rules, with a clock of their own: what a load, a call and a sample take is known.

    Args:
        load: Seconds of the first call beside those of any call.
        call: Seconds of a call beside its samples.
        sample: Seconds of a sample.
    """

    def __init__(self, load: float = 0.0, call: float = 0.0, sample: float = 0.0) -> None:
        super().__init__(ReadLimits())
        self.load, self.call, self.sample = load, call, sample
        self.now = 0.0
        self.calls: list[list[str]] = []

    def score_shard(self, reader, samples):
        self.now += self.call + self.sample * len(samples) + (0 if self.calls else self.load)
        self.calls.append([one.sample.key for one in samples])
        return super().score_shard(reader, samples)

    def pace(self, pool, num_samples: int, batch_size: int = 1) -> Pace:
        return measure_pace(
            pool,
            self,
            ReadLimits(),
            num_samples=num_samples,
            seed=0,
            batch_size=batch_size,
            clock=lambda: self.now,
        )


SECONDS = st.floats(0, 100)


@pytest.fixture
def three_shards(make_pool, plain_pairs) -> Dataset:
    return make_pool([plain_pairs(40), [], plain_pairs(40, start=40)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(SECONDS, SECONDS, SECONDS, st.integers(8, 100), st.integers(1, 39))
def test_what_comes_once_and_once_a_shard_is_told_from_the_pace(three_shards, load, call, sample, num_samples, batch):
    pace = ClockedScorer(load, call, sample).pace(three_shards, num_samples, batch)
    assert pace.start_seconds == pytest.approx(load, abs=1e-9)
    assert pace.sample_seconds == pytest.approx(sample, abs=1e-9)
    assert pace.shard_seconds == pytest.approx(call, abs=1e-9)


def test_shards_of_a_batch_are_timed_whole(three_shards):
    pace = ClockedScorer(load=50, call=20, sample=1).pace(three_shards, 40, batch_size=40)
    assert (pace.start_seconds, pace.sample_seconds, pace.shard_seconds) == (50, 1.5, 0)


def test_reading_counts_with_the_samples_and_the_files_with_the_shards(make_pool, plain_pairs, pair, picture):
    shards = [plain_pairs(10, start=10 * n) for n in range(12)]
    shards[0][3] = pair("broken", picture()[:30], "broken")
    # The clock: 4 s for the fingerprint; 1 s to read a shard of ten samples; 48 s for the first sample, later 2 s, and
    # 3.8 s for ten; 6 s for two files.
    shard = [0, 1, 0, 2, 0, 3.8]
    readings = itertools.accumulate([0, 4, 0, 1, 0, 48, *shard[2:], *shard * (NUM_GROUPS - 1), 0, 6])
    pace = measure_pace(
        make_pool(shards),
        RulesScorer(ReadLimits()),
        ReadLimits(),
        num_samples=80,
        seed=0,
        clock=lambda: float(next(readings)),
    )
    assert pace.start_seconds == 50
    assert pace.sample_seconds == pytest.approx(0.3)
    assert pace.low == pytest.approx(pace.high)
    assert pace.shard_seconds == pytest.approx(9 + 1.8)  # the rules have two columns that are counted over the pool
    assert pace.account.num_in == 80
    assert pace.account.rejected == {"image_broken": 1}


def test_a_pace_that_varies_has_an_interval(make_pool, plain_pairs):
    readings = itertools.accumulate([0, 0, *[0, 0, 0, 0, 0, 1], *[0, 0, 0, 3], 0, 0])
    pool = make_pool([plain_pairs(1), plain_pairs(1, start=5)])
    pace = measure_pace(
        pool, RulesScorer(ReadLimits()), ReadLimits(), num_samples=2, seed=0, clock=lambda: float(next(readings))
    )
    assert pace.sample_seconds == 2
    assert pace.low < 1 < 3 < pace.high


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "expected"), [(80, 1, [10] * 8), (40, 8, [8] * 5), (40, 30, [30]), (9, 30, [9])]
)
def test_groups_are_whole_batches_after_a_first_one(make_pool, plain_pairs, num_samples, batch_size, expected):
    pool = make_pool([plain_pairs(70, start=70 * n) for n in range(8)])
    scorer = ClockedScorer()
    scorer.pace(pool, num_samples, batch_size)
    cold, *groups = scorer.calls
    assert cold == groups[0]
    for first, whole, count in zip(groups[::2], groups[1::2], expected, strict=True):
        assert len(first) == batch_size
        assert whole[:batch_size] == first
        assert len(set(whole)) == batch_size + count


def test_the_forecast_is_for_the_whole_pool(make_pool, plain_pairs, tmp_path):
    pool = make_pool([plain_pairs(60), plain_pairs(60, start=60)])
    one, four = (
        run.estimate(EstimateConfig(pool=pool.path, num_samples=40, num_workers=n, price_per_hour=2.0)) for n in (1, 4)
    )
    assert (one.num_samples, one.num_measured, one.num_rejected) == (120, 42, 0)
    assert one.hours[1] <= one.hours[0] <= one.hours[2]
    assert one.cost[0] == pytest.approx(2 * one.hours[0])
    assert four.cost[0] == pytest.approx(8 * four.hours[0])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    written = sum((tmp_path / "rules" / f"{n:05d}.parquet").stat().st_size for n in range(2))
    assert written * 0.7 < one.num_bytes < written * 1.3
    assert "samples/s per worker" in one.table()
    assert "cost" in one.table()


def test_what_the_pool_does_not_count_is_not_measured(plain_pairs, tmp_path: Path):
    directory = tmp_path / "foreign"
    directory.mkdir()
    with tarfile.open(directory / "0.tar", "w") as tar:
        members = [("../x.txt", b"x"), *(member for pair in plain_pairs(12) for member in pair.members())]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    import_webdataset(ImportWebdatasetConfig(directory=directory, name="foreign"))
    report = run.estimate(EstimateConfig(pool=directory, num_samples=40))
    assert (report.num_samples, report.num_measured, report.num_rejected) == (12, 12, 0)


def test_an_empty_pool_has_no_forecast(make_pool):
    with pytest.raises(DataError, match="no samples"):
        run.estimate(EstimateConfig(pool=make_pool([[]]).path))
