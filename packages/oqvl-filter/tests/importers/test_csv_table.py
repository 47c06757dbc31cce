from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.csv_table import read_csv
from oqvl_shards.errors import DataError

LIMITS = ImportLimits()


def test_a_uid_of_digits_stays_text_and_an_empty_field_is_no_value(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("uid,score,name\n" + "1" * 32 + ',0.5,"a, b"\n' + "0" * 32 + ",,\n")
    assert read_csv(path, "uid", LIMITS).to_pylist() == [
        {"uid": "1" * 32, "score": 0.5, "name": "a, b"},
        {"uid": "0" * 32, "score": None, "name": None},
    ]


def test_what_is_no_csv_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("uid,score\na,1,2\n")
    with pytest.raises(DataError, match="not a readable CSV"):
        read_csv(path, "uid", LIMITS)
