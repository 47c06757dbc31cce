from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.config import ScoreConfig, SelectConfig, ShowConfig
from oqvl_filter.selection.report import SelectReport


@pytest.fixture
def rules(make_pool, plain_pairs, tmp_path: Path) -> Path:
    run.score(ScoreConfig(pool=make_pool([plain_pairs(9)]).path, output=tmp_path / "rules"))
    return tmp_path / "rules"


def select(rules: Path, name: str, **values) -> SelectReport:
    config = {"scores": {"r": rules}, "output": rules.parent / name, "keep": "width > 20", **values}
    return run.select(SelectConfig.from_values(config))


def test_a_report_is_read_back_from_the_manifest(rules: Path):
    report = select(rules, "s", pairs=3)
    assert run.show(ShowConfig(dataset=rules.parent / "s")) == report
    assert (report.asked_pairs, report.asked_tokens, report.rule) == (3, None, "r.width > 20")
    assert report.conditions == (("r.width > 20", 7, 0),)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pairs": 100}, "asked for 100 pairs, 7 match"),
        ({"tokens": 1e6}, "asked for 1,000,000 tokens, all 7 matching pairs have fewer"),
        ({"keep": "width > 5000"}, "nothing is kept; reshard refuses such a subset"),
        ({"pairs": 7}, None),
        ({"tokens": 500.0}, None),
    ],
)
def test_less_than_was_asked_for_is_told(rules: Path, values: dict, says: str | None):
    table = select(rules, "s", **values).table()
    if says is None:
        assert "asked for" not in table and "empty" not in table
    else:
        assert says in table
