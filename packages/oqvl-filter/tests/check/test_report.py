from __future__ import annotations

from pathlib import Path

from oqvl_filter.check.report import CheckReport


def test_a_good_dataset_is_one_line():
    report = CheckReport(path=Path("out"), name="n", kind="scores", num_files=2, num_samples=12345)
    assert report.table() == "n (out), scores: 2 files, 12,345 samples: good"
