"""MLM-Filter's published layout, on made data."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.mlm_filter import parse_score, read_answers, shard_of
from oqvl_shards.errors import DataError

LIMITS = ImportLimits()


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("85", 85),
        ("100\nBecause it is", 100),
        (" 7;\nok", 7),
        ("9,0", 90),
        ("0", 0),
        ("101", None),
        ("-3", None),
        ("85.5", None),
        ("eighty", None),
        ("", None),
        ("\n85", 85),
        ("٣", None),
        ("1" * 5000, None),
    ],
)
def test_the_score_is_the_whole_number_on_the_first_line(answer: str, score: int | None):
    assert parse_score(answer) == score


def write(path: Path, uids: list[str | None], **answers: list[str | None]) -> Path:
    columns = {f"{metric}_score": pa.array(values, pa.string()) for metric, values in answers.items()}
    pq.write_table(pa.table({"uid": uids, "url": ["x"] * len(uids), "similarity": [0.3] * len(uids), **columns}), path)
    return path


def test_the_metrics_of_a_shard_are_joined(tmp_path: Path):
    one = write(tmp_path / "00000003_su.parquet", ["a", "b", "c"], semantic_understanding=["85\nfine", "no", None])
    two = write(tmp_path / "00000003_itm.parquet", ["d", "b", "b"], image_text_matching=["?", "66", "12"])
    assert shard_of(one) == shard_of(two) == "00000003"
    table = read_answers([one, two], "uid", LIMITS)
    assert table.to_pylist() == [
        {"uid": "a", "su": 85, "itm": None, "reject": None},
        {"uid": "b", "su": None, "itm": 66, "reject": None},
        {"uid": "c", "su": None, "itm": None, "reject": "unparsable_score"},
        {"uid": "d", "su": None, "itm": None, "reject": "unparsable_score"},
    ]


def test_what_holds_no_answers_is_refused(tmp_path: Path):
    one = write(tmp_path / "0_su.parquet", ["a"], semantic_understanding=["1"])
    with pytest.raises(DataError, match="another file of shard 0 has the metric 'su' too"):
        read_answers([one, one], "uid", LIMITS)
    with pytest.raises(DataError, match="expected 'key' and METRIC_score"):
        read_answers([one], "key", LIMITS)
    with pytest.raises(DataError, match="expected 'uid' and METRIC_score"):
        read_answers([write(tmp_path / "1.parquet", ["a"])], "uid", LIMITS)
