from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oqvl_filter.scorers.report import EstimateReport, ScoreReport
from oqvl_shards.manifest import Account


def estimate(**values) -> EstimateReport:
    defaults: dict[str, Any] = {
        "scorer": "clip",
        "num_samples": 5_000_000,
        "num_measured": 200,
        "num_rejected": 3,
        "start_seconds": 12.34,
        "samples_per_second": 1234.5,
        "hours": (1.5, 1.2, 1.8),
        "cost": (0.0, 0.0, 0.0),
        "num_bytes": 123_456_789,
    }
    return EstimateReport(**{**defaults, **values})


@pytest.mark.parametrize(
    ("hours", "shown"), [(30.0, "30.0 h"), (1.0, "1.0 h"), (0.5, "30.0 min"), (1 / 60, "1.0 min"), (0.01, "36.0 s")]
)
def test_a_time_is_shown_in_the_unit_that_fits(hours: float, shown: str):
    assert f"  time      {shown} (" in estimate(hours=(hours, hours, hours)).table()


def test_a_cost_is_shown_where_there_is_a_price():
    assert "cost" not in estimate().table()
    assert "  cost      1,234.50 (1,000.00 to 1,500.00)" in estimate(cost=(1234.5, 1000.0, 1500.0)).table()


def test_an_estimate_says_what_it_rests_on():
    first, *lines = estimate().table().splitlines()
    assert first == "clip: 200 of 5,000,000 samples scored, 3 of them rejected"
    assert "  pace      1,234.5 samples/s per worker" in lines
    assert "  disk      123,456,789 bytes" in lines


@pytest.mark.parametrize(("value", "shown"), [(0.28123, "0.281"), (1234.4, "1,234"), (-5.0, "-5"), (2e9, "2e+09")])
def test_percentiles_fit_their_columns(value: float, shown: str):
    report = ScoreReport(
        path=Path("o"),
        digest="0" * 64,
        name="n",
        account=Account(num_in=1, num_kept=1),
        scorer="clip",
        fingerprint="f" * 64,
        deciles={"clip_score": (value,) * 11},
    )
    header, row = report.table().splitlines()[-2:]
    assert row.split() == ["clip_score", *[shown] * 11]
    assert len(header) == len(row)
