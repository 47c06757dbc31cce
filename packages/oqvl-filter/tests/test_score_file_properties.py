"""Score files: accounts that close, counts over files, and percentiles of what has a size."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.score_file import (
    DECILES,
    account_of,
    arrow_type,
    count_values,
    deciles,
    is_amount,
    is_vector,
    read_table,
    vector_dtype,
    write_table,
)
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import FieldSpec


@given(st.lists(st.none() | st.sampled_from(["image_broken", "no_text", "a reason"]), max_size=20))
def test_an_account_closes(reasons: list[str | None]):
    account = account_of(pa.table({"reject": pa.array(reasons, pa.string())}))
    assert account.num_in == len(reasons)
    assert account.num_kept == reasons.count(None)
    assert dict(account.rejected) == Counter(reason for reason in reasons if reason is not None)
    assert list(account.rejected) == sorted(account.rejected)


@given(st.sampled_from(["float16", "float32", "float64", "int8"]), st.integers(1, 2000))
def test_the_type_of_a_vector_is_read_as_it_is_written(number: str, dim: int):
    dtype = vector_dtype(number, dim)
    assert is_vector(dtype) and not is_vector(number)
    type_ = arrow_type(dtype)
    assert (type_.list_size, type_.value_type) == (dim, pa.type_for_alias(number))
    assert str(type_) == dtype


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(0, 5), st.sampled_from(["float16", "float32"]))
def test_vectors_come_back_from_a_file_with_their_type(tmp_path_factory, dim: int, count: int, number: str):
    path = tmp_path_factory.mktemp("vectors") / "0.parquet"
    type_ = arrow_type(vector_dtype(number, dim))
    rows = [None if row % 3 == 2 else [row + place / 2 for place in range(dim)] for row in range(count)]
    write_table(pa.table({"v": pa.array(rows, type_)}), path)
    column = read_table(path)["v"]
    assert column.type == type_
    assert column.to_pylist() == rows


values = st.one_of(st.none(), st.integers(-9, 9).map(float), st.sampled_from([np.nan, np.inf, -np.inf]))


@settings(max_examples=60)
@given(st.lists(st.lists(values, max_size=6), min_size=1, max_size=3))
def test_deciles_are_of_all_finite_values_of_all_files(tmp_path_factory, files: list[list[float | None]]):
    directory = tmp_path_factory.mktemp("deciles")
    paths = [directory / f"{index}.parquet" for index in range(len(files))]
    for path, column in zip(paths, files, strict=True):
        write_table(pa.table({"q": pa.array(column, pa.float32())}), path)
    finite = sorted(value for column in files for value in column if value is not None and np.isfinite(value))
    measured = deciles(paths, (FieldSpec(name="q", dtype="float32"),))
    if not finite:
        assert measured == {}
        return
    assert list(measured) == [f"q.p{percent}" for percent in DECILES]
    for percent in DECILES:
        # Linear between the two nearest ranks (Hyndman and Fan, 1996, type 7).
        place = percent / 100 * (len(finite) - 1)
        below, above = finite[int(place)], finite[min(int(place) + 1, len(finite) - 1)]
        assert measured[f"q.p{percent}"] == pytest.approx(below + (place - int(place)) * (above - below))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([0.5, 1e300]), True),
        (pa.array([1, 2**53], pa.int64()), True),
        (pa.array([-(2**53)], pa.int64()), True),
        (pa.array([2**53 + 1], pa.int64()), False),
        (pa.array([-(2**53) - 1, 0], pa.int64()), False),
        (pa.array([1], pa.uint64()), False),
        (pa.array([1], pa.uint32()), True),
        (pa.array([None], pa.int32()), True),
        (pa.array([], pa.int64()), True),
        (pa.array([True]), False),
        (pa.array(["1"]), False),
    ],
)
def test_a_hash_is_no_amount(column: pa.Array, expected: bool):
    assert is_amount(column) is expected
    assert is_amount(pa.chunked_array([column, column])) is expected


@settings(max_examples=40)
@given(st.lists(st.lists(st.none() | st.integers(0, 2), max_size=4), min_size=1, max_size=4))
def test_numbers_are_counted_as_texts_are(tmp_path_factory, files: list[list[int | None]]):
    directory = tmp_path_factory.mktemp("counts")
    paths = [directory / f"{index}.parquet" for index in range(len(files))]
    for path, column in zip(paths, files, strict=True):
        texts = pa.array([None if value is None else str(value) for value in column], pa.string())
        write_table(pa.table({"n": pa.array(column, pa.int32()), "t": texts}), path)
    by_number, by_text = ([counts.to_pylist() for counts in count_values(paths, name)] for name in ("n", "t"))
    assert by_number == by_text
    expected = Counter(value for column in files for value in column)
    assert by_number == [[None if value is None else expected[value] for value in column] for column in files]


def test_a_file_without_the_column_or_without_bytes_is_named(tmp_path: Path):
    path = tmp_path / "0.parquet"
    write_table(pa.table({"q": [1]}), path)
    for content in (path.read_bytes()[:-5], b""):
        (tmp_path / "bad.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.parquet is not a readable score file") as error:
            read_table(tmp_path / "bad.parquet")
        assert error.value.hint == "delete its dataset and score again"
    with pytest.raises(DataError, match=r"absent\.parquet is not a readable score file"):
        read_table(tmp_path / "absent.parquet")


def test_a_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "0.parquet"
    for count in (3, 1):
        write_table(pa.table({"q": range(count)}), path)
        assert read_table(path)["q"].to_pylist() == list(range(count))
    assert [entry.name for entry in tmp_path.iterdir()] == ["0.parquet"]
