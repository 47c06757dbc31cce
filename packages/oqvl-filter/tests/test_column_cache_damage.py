"""A cache is a convenience: whatever is in its files, the columns are right."""

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
    pool = make_pool([plain_pairs(3), plain_pairs(3, start=3)])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    return open_dataset(tmp_path / "rules")


def arrow_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


FOREIGN = {
    "empty": b"",
    "zeros": bytes(2000),
    "text": b"values\n1\n2\n",
    "the magic alone": b"ARROW1\0\0" * 2,
    "too few rows": arrow_file(pa.table({"values": range(5)})),
    "too many rows": arrow_file(pa.table({"values": range(7)})),
    "another column": arrow_file(pa.table({"other": range(6)})),
    "two columns": arrow_file(pa.table({"values": range(6), "other": range(6)})),
    "a stream": b"\xff\xff\xff\xff" + arrow_file(pa.table({"values": range(6)}))[8:],
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_such_column_is_replaced(scored: Dataset, tmp_path: Path, content: bytes):
    cache = ColumnCache(tmp_path / "cache")
    column = pa.chunked_array([pa.array(["a", None, "c"]), pa.array(["d", "e", "f"])])
    reads = []

    def read() -> pa.ChunkedArray:
        reads.append(1)
        return column

    assert cache.column(scored, "x", read).equals(column)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(content)
    assert cache.column(scored, "x", read).equals(column)
    assert path.read_bytes() == whole
    assert cache.column(scored, "x", read).equals(column)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "values",
    [
        pa.array(range(6)),
        pa.array(["a"] * 6),
        pa.array([b"x" * 8] * 6, pa.binary(8)),
        pa.array([b"x" * 16] * 6),
        pa.array([[1.0, 2.0]] * 6),
        pa.nulls(6),
    ],
    ids=lambda values: str(values.type),
)
def test_uids_of_another_type_are_replaced(scored: Dataset, tmp_path: Path, uid_of, values: pa.Array):
    cache = ColumnCache(tmp_path / "cache")
    texts = [uid_of(number) for number in range(6)]
    cache.uids(scored, lambda: pa.chunked_array([pa.array(texts)]))
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(arrow_file(pa.table({"values": values})))
    uids = cache.uids(scored, lambda: pa.chunked_array([pa.array(texts)]))
    assert array_to_uids(uids.values) == texts
    assert uids.is_distinct


def test_a_cut_anywhere_is_noticed(scored: Dataset, tmp_path: Path):
    cache = ColumnCache(tmp_path / "cache")
    column = pa.chunked_array([pa.array([0.5, None, 1, 2, 3, 4], pa.float32())])
    cache.column(scored, "x", lambda: column)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert cache.column(scored, "x", lambda: column).equals(column)
        assert path.read_bytes() == whole


def test_a_directory_in_the_place_of_a_file_is_told(scored: Dataset, tmp_path: Path):
    """It cannot be replaced; nothing else in the cache suffers."""
    cache = ColumnCache(tmp_path / "cache")
    column = pa.chunked_array([pa.array(range(6))])
    cache.column(scored, "x", lambda: column)
    (path,) = (tmp_path / "cache").iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=path.name):
        cache.column(scored, "x", lambda: column)
    assert cache.column(scored, "y", lambda: column).equals(column)


def test_names_and_datasets_have_files_of_their_own(scored: Dataset, make_pool, plain_pairs, tmp_path: Path):
    other_pool = make_pool([plain_pairs(6, start=9)], "other")
    run.score(ScoreConfig(pool=other_pool.path, output=tmp_path / "other-rules"))
    cache = ColumnCache(tmp_path / "cache")
    datasets = (scored, open_dataset(tmp_path / "other-rules"))
    names = ("x", "X", "x ", "../x", "x/y", "uid", "é", "", "a" * 300)
    columns = {
        (place, name): pa.chunked_array([pa.array([f"{place}{name}"] * 6)]) for place in range(2) for name in names
    }
    for _ in range(2):
        for (place, name), column in columns.items():
            assert cache.column(datasets[place], name, lambda column=column: column).equals(column)
    files = list((tmp_path / "cache").iterdir())
    assert len(files) == 2 * len(names)
    assert all(path.suffix == ".arrow" and path.is_file() for path in files)


@pytest.mark.parametrize("damage", [b"", b"rubbish", arrow_file(pa.table({"values": ["x"] * 6}))])
def test_a_selection_with_a_damaged_cache_is_the_same_to_the_byte(scored: Dataset, tmp_path: Path, damage: bytes):
    def select(name: str) -> bytes:
        values = {"scores": {"r": scored.path}, "keep": "width >= 21", "cache": tmp_path / "cache"}
        run.select(SelectConfig.from_values({**values, "output": tmp_path / name}))
        return (tmp_path / name / "manifest.json").read_bytes()

    first = select("first")
    uids = ColumnCache(tmp_path / "cache")._path(scored, "uid")
    assert uids.exists()
    for path in (tmp_path / "cache").iterdir():
        # A column of a rule's own type could not be told from the right one, so only the uids get another type.
        path.write_bytes(damage if path == uids or not damage.startswith(b"ARROW") else path.read_bytes())
    assert select("second") == first
    assert len(np.load(tmp_path / "first" / "subset.npy")) == 4
