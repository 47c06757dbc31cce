from __future__ import annotations

from pathlib import Path

from oqvl_filter.resharding.report import ReshardReport
from oqvl_shards.manifest import Account


def test_what_no_pool_has_is_stated_after_the_shards():
    report = ReshardReport(
        path=Path("kept"),
        digest="0" * 64,
        name="kept",
        account=Account(num_in=5, num_kept=5),
        num_shards=3,
        num_bytes=12345,
        num_missing=7000,
    )
    assert report.table().splitlines()[2:4] == [
        "  shards    3, 12,345 bytes",
        "  missing   7,000 uids of the subset are in no pool",
    ]
    assert ReshardReport.model_validate_json(report.model_dump_json()) == report
