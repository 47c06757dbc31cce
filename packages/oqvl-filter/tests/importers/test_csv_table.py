from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.integers(0, 2**64 - 1) | st.none(), min_size=1))
def test_unsigned_words_are_read_to_the_last_bit(words):
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a.csv"
        path.write_text("\n".join(["uid,hash,size", *(f"a,{'' if word is None else word},1e19" for word in words)]))
        table = read_csv(path, "uid", LIMITS)
    assert table["hash"].to_pylist() == words
    assert table["size"].to_pylist() == [1e19] * len(words)


def test_columns_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("uid,score,score\na,1,2\n")
    with pytest.raises(DataError, match=r"several columns with the names \['score'\]"):
        read_csv(path, "uid", LIMITS)


def test_what_is_no_csv_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("uid,score\na,1,2\n")
    with pytest.raises(DataError, match="not a readable CSV"):
        read_csv(path, "uid", LIMITS)
