"""Scoring as a stage: every scorer's account closes over samples that are broken in every way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.config import EstimateConfig, ScoreConfig
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers import run as scorers_run
from oqvl_filter.scorers.estimation import Pace, forecast
from oqvl_filter.scorers.run import estimate
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account

SCORERS = ["rules", "phash", "image", "text", "metadata", "clip"]


@pytest.fixture
def pool(make_pool, pair, picture, plain_pairs, uid_of) -> Dataset:
    """Two shards of good samples and of samples that each lack or break something."""
    return make_pool(
        [
            [
                *plain_pairs(3),
                pair("no-image", None, "caption 1", uid_of(90)),
                pair("half-image", picture()[: len(picture()) // 2], "caption 1", uid_of(91)),
                pair("bad-json", picture(), "caption 1", json=b"{"),
            ],
            [
                *plain_pairs(2, start=5),
                pair("no-caption", picture((1, 1, 1)), None, uid_of(92)),
                pair("tiny", picture((2, 2, 2), (4, 4)), "caption 1", uid_of(93)),
                pair("nothing-else", None, None, uid_of(94)),
            ],
        ]
    )


def score(pool: Dataset, name: str, output: Path, tiny_clip: str, **values):
    (pool.path.parent / "entries.json").write_text(json.dumps(["caption", "caption 1"]))
    fields = {
        "metadata": {"entries": pool.path.parent / "entries.json"},
        "clip": {"model": tiny_clip, "batch_size": 2},
    }.get(name, {})
    config = {"pool": pool.path, "output": output, "scorer": {"name": name, **fields}, **values}
    return scorers_run.score(ScoreConfig.from_values(config))


@pytest.mark.parametrize("name", SCORERS)
def test_every_sample_has_scores_or_a_reason(pool: Dataset, tmp_path: Path, tiny_clip: str, name: str):
    report = score(pool, name, tmp_path / "scores", tiny_clip)
    manifest = open_dataset(tmp_path / "scores").manifest
    tables = [read_table(tmp_path / "scores" / shard.path) for shard in manifest.shards]
    rows = [row for table in tables for row in table.to_pylist()]
    account = report.account
    assert account.num_in == account.num_kept + sum(account.rejected.values()) == len(rows)
    assert manifest.details.kind == "scores"
    first, *_ = manifest.details.columns
    for row in rows:
        assert (row["reject"] is None) == (row[first] is not None), row
    reasons = [row["reject"] for row in rows if row["reject"]]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == account.rejected
    assert {row["key"] for row in rows if row["reject"] is None} >= {"000000", "000001", "000002", "000005", "000006"}
    assert [row["reject"] for row in rows if row["key"] == "bad-json"] == ["not_json"]


@pytest.mark.parametrize("name", ["rules", "phash", "image", "clip"])
def test_limits_reject_and_are_in_the_fingerprint(pool: Dataset, tmp_path: Path, tiny_clip: str, name: str):
    plain = score(pool, name, tmp_path / "plain", tiny_clip)
    strict = score(pool, name, tmp_path / "strict", tiny_clip, limits={"min_image_side": 5})
    assert strict.fingerprint != plain.fingerprint
    assert strict.account.num_kept == plain.account.num_kept - 1
    assert strict.account.num_in == plain.account.num_in


@pytest.mark.parametrize("name", ["image", "clip"])
def test_threads_and_workers_change_no_byte(pool: Dataset, tmp_path: Path, tiny_clip: str, name: str):
    score(pool, name, tmp_path / "one", tiny_clip)
    scorer = {"name": name, "decode_threads": 0} | ({"model": tiny_clip, "batch_size": 2} if name == "clip" else {})
    config = {"pool": pool.path, "output": tmp_path / "other", "scorer": scorer}
    scorers_run.score(ScoreConfig.from_values(config))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_an_empty_pool_cannot_be_estimated(make_pool):
    with pytest.raises(DataError, match="has no samples") as error:
        estimate(EstimateConfig(pool=make_pool([]).path))
    assert error.value.hint == "check pool="


def pace(**values: float) -> Pace:
    figures = {
        "start_seconds": 20.0,
        "sample_seconds": 0.01,
        "low": 0.008,
        "high": 0.012,
        "shard_seconds": 2.0,
        "row_bytes": 30.0,
        "file_bytes": 4000.0,
    }
    return Pace(**{**figures, **values}, account=Account(num_in=1, num_kept=1))


def test_a_forecast_by_hand():
    # One worker: 20 s to start, 1,000,000 samples at 10 ms, 100 shards at 2 s.
    expected = forecast(pace(), num_samples=1_000_000, num_shards=100, num_workers=1, price_per_hour=2.0)
    assert expected.hours == pytest.approx((10220 / 3600, 8220 / 3600, 12220 / 3600))
    assert expected.cost == pytest.approx(tuple(2 * hours for hours in expected.hours))
    assert expected.num_bytes == 30_400_000
    # Four workers divide the work and not the start; all of them are paid for.
    shared = forecast(pace(), num_samples=1_000_000, num_shards=100, num_workers=4, price_per_hour=2.0)
    assert shared.hours[0] == pytest.approx((20 + 10200 / 4) / 3600)
    assert shared.cost[0] == pytest.approx(8 * shared.hours[0])


@given(st.integers(0, 10**9), st.integers(0, 10**5), st.integers(1, 64), st.floats(0, 100))
def test_a_forecast_is_ordered_and_grows_with_the_pool(num_samples: int, num_shards: int, workers: int, price: float):
    def of(samples: int, shards: int):
        return forecast(pace(), num_samples=samples, num_shards=shards, num_workers=workers, price_per_hour=price)

    expected, larger = of(num_samples, num_shards), of(num_samples + 1, num_shards + 1)
    assert expected.hours[1] <= expected.hours[0] <= expected.hours[2]
    assert expected.cost[1] <= expected.cost[0] <= expected.cost[2]
    assert larger.hours[1] > expected.hours[1]
    assert larger.num_bytes > expected.num_bytes
