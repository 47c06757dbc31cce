from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.pages.report import CalibrateReport, PageReport, ThresholdRow


@pytest.mark.parametrize(
    ("num_selected", "end"), [(None, "1,000"), (0, "1,000, 0 selected"), (70, "1,000, 70 selected")]
)
def test_a_page_says_how_many_samples_it_is_about(num_selected: int | None, end: str):
    report = PageReport(path=Path("p.html"), num_bytes=2048, num_samples=1000, num_selected=num_selected)
    assert report.table() == f"p.html (2,048 bytes)\n  samples   {end}"


def test_a_sample_to_judge_says_where_it_is():
    table = CalibrateReport(path=Path("judged"), num_drawn=200, num_judged=0, thresholds=()).table()
    assert table == "200 samples to judge: look at judged/page.html, fill in judged/labels.csv"


def test_thresholds_are_a_table_with_intervals():
    rows = (
        ThresholdRow(threshold=0.1, kept=1.0, precision=(0.5, 0.25, 0.75), recall=(1.0, 0.9, 1.0)),
        ThresholdRow(threshold=0.31234, kept=0.25, precision=None, recall=None),
    )
    lines = CalibrateReport(path=Path("j"), num_drawn=0, num_judged=40, thresholds=rows).table().splitlines()
    assert lines[0] == "40 judged samples; intervals of 95%"
    assert lines[2].split() == "0.1 100.0% 0.500 (0.250 to 0.750) 1.000 (0.900 to 1.000)".split()
    assert lines[3].split() == "0.3123 25.0% not judged not judged".split()
