from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.foreign_table import find_files, pick_columns, read_parquet, to_score_table, uids_of_shard
from oqvl_shards.errors import ConfigError, DataError

LIMITS = ImportLimits()


def test_rows_that_name_no_sample_are_counted_and_left_out(uid_of):
    uids = [uid_of(0), uid_of(1).upper(), "x" * 32, None, uid_of(2) + "0", uid_of(3)]
    table = pa.table({"uid": uids, "score": [0.1, 0.2, 0.3, 0.4, 0.5, None]})
    rows, lost = to_score_table(table, None)
    assert lost == {"bad_uid": 3}
    assert rows.to_pylist() == [
        {"uid": uid_of(0), "uid_derived": False, "key": None, "score": 0.1, "reject": None},
        {"uid": uid_of(1), "uid_derived": False, "key": None, "score": 0.2, "reject": None},
        {"uid": uid_of(3), "uid_derived": False, "key": None, "score": None, "reject": "no_score"},
    ]


def test_rows_are_found_by_key(uid_of):
    table = pa.table({"key": ["b", "a", "c"], "score": [1, 2, 3], "reject": [None, "unparsable_score", None]})
    rows, lost = to_score_table(table, {"a": uid_of(0), "b": uid_of(1)})
    assert lost == {"unknown_key": 1}
    found = [(row["uid"], row["key"], row["score"], row["reject"]) for row in rows.to_pylist()]
    assert found == [(uid_of(1), "b", 1, None), (uid_of(0), "a", 2, "unparsable_score")]


def test_columns_are_picked_and_renamed(tmp_path: Path):
    table = pa.table({"uid": ["u"], "a": [1], "b": [2]})
    assert pick_columns(table, {"b": "beauty"}, ("uid",), tmp_path).column_names == ["uid", "beauty"]
    assert pick_columns(table, {}, ("uid", "key"), tmp_path).column_names == ["uid", "a", "b"]
    with pytest.raises(ConfigError, match=r"no column \['c'\]\n.*'a'"):
        pick_columns(table, {"c": "d"}, ("uid",), tmp_path)


def test_parquet_is_read_within_limits_and_without_nested_columns(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"uid": ["u"] * 1000, "boxes": [[1.0]] * 1000, "a": [7] * 1000}), path, use_dictionary=False
    )
    assert read_parquet(path, LIMITS).column_names == ["uid", "a"]
    with pytest.raises(DataError, match="unpacks to"):
        read_parquet(path, ImportLimits(max_unpacked_bytes=9000))
    with pytest.raises(DataError, match="expected at most 100"):
        read_parquet(path, ImportLimits(max_file_bytes=100))
    path.write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(DataError, match="not a readable parquet"):
        read_parquet(path, LIMITS)


def test_files_are_found_in_the_order_of_their_numbers(tmp_path: Path):
    for name in ("10.csv", "9.csv", "1.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_files(tmp_path, ".csv")] == ["9.csv", "10.csv"]
    assert find_files(tmp_path / "1.txt", ".csv") == [tmp_path / "1.txt"]
    with pytest.raises(ConfigError, match=r"no file that ends in \.json or \.jsonl"):
        find_files(tmp_path, ".json", ".jsonl")


def test_a_file_is_of_the_shard_with_its_number(make_pool, pair, picture, plain_pairs):
    pool = make_pool([plain_pairs(1), [pair("b", picture(), "no uid")]])
    assert list(uids_of_shard(pool, "00000001_su.parquet")) == ["b"]
    assert list(uids_of_shard(pool, "0.json")) == ["000000"]
    with pytest.raises(DataError, match="belongs to no shard"):
        uids_of_shard(pool, "2.json")
