from __future__ import annotations

from pathlib import Path

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ScoreConfig, ShowConfig
from oqvl_filter.dedup.report import DedupReport


def test_a_report_is_read_back_from_the_manifest(make_pool, pair, picture, plain_pairs, uid_of, tmp_path: Path):
    copy = pair("copy", plain_pairs(1)[0].image, "again", uid_of(77))
    pool = make_pool([[*plain_pairs(2), copy]]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "rules"))
    config = DedupConfig.from_values({"scores": {"r": tmp_path / "rules"}, "method": "exact", "output": tmp_path / "d"})
    report = run.dedup(config)
    assert isinstance(report, DedupReport)
    assert (report.method, report.counts) == ("exact", {"num_clusters": 1, "num_duplicates": 1})
    assert run.show(ShowConfig(dataset=tmp_path / "d")) == report
    lines = report.table().splitlines()
    assert "  method    exact" in lines
    assert any(line.split() == ["num_duplicates", "1"] for line in lines)
