from __future__ import annotations

from pathlib import Path

from oqvl_filter.importers.report import PromptsReport


def test_prompts_are_listed_by_metric_and_length():
    report = PromptsReport(path=Path("mlm.toml"), name="mlm_filter", prompts={"itm": "x" * 1234, "su": "y"})
    assert report.table().splitlines() == [
        "mlm_filter (mlm.toml)",
        "  itm       1,234 characters",
        "  su        1 characters",
    ]
