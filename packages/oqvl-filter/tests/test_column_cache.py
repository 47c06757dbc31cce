from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from oqvl_filter import run
from oqvl_filter.column_cache import ColumnCache
from oqvl_filter.config import ScoreConfig, SelectConfig
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.uid import array_to_uids


@pytest.fixture
def scored(make_pool, plain_pairs, tmp_path: Path) -> Dataset:
    pool = make_pool([plain_pairs(3), plain_pairs(3, start=2)])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    return open_dataset(tmp_path / "rules")


def never() -> pa.ChunkedArray:
    raise AssertionError("read again")


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([pa.array([1.5, None, 2.0], pa.float32()), pa.array([3.0, 4.0, 5.0], pa.float32())]),
        pa.chunked_array([pa.array(["a", None, "", "b", "c", "d"])]),
        pa.chunked_array([pa.array([[1.0, 2.0]] * 6, pa.list_(pa.float16(), 2))]),
    ],
)
def test_a_column_is_read_once(scored: Dataset, tmp_path: Path, column: pa.ChunkedArray):
    cache = ColumnCache(tmp_path / "cache")
    assert cache.column(scored, "../x", lambda: column).equals(column)
    found = cache.column(scored, "../x", never)
    assert found.equals(column)
    assert found.type == column.type
    assert [path.parent for path in tmp_path.rglob("*.arrow")] == [tmp_path / "cache"]


def test_uids_are_read_once_with_whether_one_comes_twice(scored: Dataset, tmp_path: Path, uid_of):
    texts = [uid_of(n) for n in (0, 1, 2, 2, 3, 4)]
    cache = ColumnCache(tmp_path / "cache")
    read = cache.uids(scored, lambda: pa.chunked_array([pa.array(texts)]))
    again = cache.uids(scored, never)
    assert array_to_uids(again.values) == array_to_uids(read.values) == texts
    assert not again.is_distinct
    distinct = [uid_of(n) for n in range(6)]
    other = ColumnCache(tmp_path / "other")
    other.uids(scored, lambda: pa.chunked_array([pa.array(distinct)]))
    assert other.uids(scored, never).is_distinct


def test_what_is_damaged_or_of_another_size_is_read_again(scored: Dataset, tmp_path: Path):
    cache = ColumnCache(tmp_path / "cache")
    column = pa.chunked_array([pa.array(range(6))])
    cache.column(scored, "x", lambda: column)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    for content in (whole[:50], b"", b"no arrow"):
        path.write_bytes(content)
        assert cache.column(scored, "x", lambda: column).equals(column)
    cache.column(scored, "short", lambda: column.slice(0, 2))
    assert cache.column(scored, "short", lambda: column).equals(column)


def test_the_cache_changes_no_byte_of_a_selection(scored: Dataset, tmp_path: Path):
    def select(name: str, **values) -> bytes:
        config = {"scores": {"rules": scored.path}, "keep": "width >= 21 then one per content_sha", **values}
        run.select(SelectConfig.from_values({**config, "output": tmp_path / name}))
        return (tmp_path / name / "manifest.json").read_bytes()

    cached = {"cache": tmp_path / "cache"}
    assert select("plain") == select("first", **cached) == select("second", **cached)
    assert len(np.load(tmp_path / "second" / "subset.npy")) > 0
