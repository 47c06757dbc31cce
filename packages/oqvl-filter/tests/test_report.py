from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.report import DfnReport, PoolReport, ReshardReport, ScoreReport, SelectReport
from oqvl_shards.manifest import Account

COMMON = {
    "path": Path("out"),
    "digest": "0" * 64,
    "name": "thing",
    "account": Account(num_in=1000, num_kept=900, rejected={"image_broken": 100}),
}


def test_every_report_shows_the_account():
    reports = [
        ScoreReport(**COMMON, scorer="clip", fingerprint="f" * 64, deciles={"clip_score": tuple(range(11))}),
        SelectReport(**COMMON, rule="a.b >= 1", conditions=(("a.b >= 1", 900, 12),)),
        PoolReport(**COMMON, num_shards=3, num_bytes=12345),
        ReshardReport(**COMMON, num_shards=3, num_bytes=12345, num_missing=7),
        DfnReport(**COMMON, held_out_auc=0.9, num_held_out=76),
        DfnReport(**COMMON, held_out_auc=None, num_held_out=0),
    ]
    for report in reports:
        lines = report.table().splitlines()
        assert lines[0] == "thing (out)"
        assert any(line.split() == ["rejected:", "image_broken", "100", "10.0%"] for line in lines)
        assert type(report).model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("num_kept", "asked", "line"),
    [
        (106, {"asked_pairs": 1_000_000}, "  budget    asked for 1,000,000 pairs, 106 match"),
        (106, {"asked_tokens": 5e9}, "  budget    asked for 5,000,000,000 tokens, all 106 matching pairs have fewer"),
        (0, {}, "  empty     nothing is kept; reshard refuses such a subset"),
        (106, {"asked_pairs": 106}, None),
        (106, {}, None),
    ],
)
def test_a_selection_says_when_there_is_less_than_was_asked_for(num_kept: int, asked: dict, line: str | None):
    account = Account(num_in=200, num_kept=num_kept, rejected={"a.b >= 1": 200 - num_kept})
    whole = SelectReport(**COMMON, rule="a.b >= 1", conditions=())
    report = whole.model_copy(update={"account": account, **asked})
    said = [one for one in report.table().splitlines() if one.startswith(("  budget", "  empty"))]
    assert said == ([] if line is None else [line])


def test_columns_of_percentiles_stay_apart():
    deciles = {"one": (-123456.0,) * 11, "two": (-1.5e19,) * 11}
    lines = ScoreReport(**COMMON, scorer="x", fingerprint="f" * 64, deciles=deciles).table().splitlines()
    assert lines[-2].split() == ["one", *["-123,456"] * 11]
    assert lines[-1].split() == ["two", *["-1.5e+19"] * 11]


def test_a_report_names_what_matters():
    report = SelectReport(**COMMON, rule="r", conditions=(("a.b >= 1", 900, 12), ("all", 3, 0)))
    assert "a.b >= 1: 900 samples, no value for 12\n    all: 3 samples\n" in report.table()
    assert "shards    3, 12,345 bytes" in PoolReport(**COMMON, num_shards=3, num_bytes=12345).table()
    assert "7 uids" in ReshardReport(**COMMON, num_shards=3, num_bytes=1, num_missing=7).table()
    assert "not measured" in DfnReport(**COMMON, held_out_auc=None, num_held_out=0).table()
