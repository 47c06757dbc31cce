"""Score files: one parquet a pool shard, one row a sample, the rejected ones included.

The columns are `IDENTITY_FIELDS`, the scorer's own, and `REJECT_FIELD`, the reason why a sample has no scores: they are
null then.

Rows are in the order of the shard; file `00007.parquet` belongs to the pool's shard number 7 (0-based, as in its
manifest).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oqvl_filter.pool import PoolSample
from oqvl_filter.scorer import Row
from oqvl_filter.uid_array import parse_uids, sort_uids
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Account, FieldSpec

IDENTITY_FIELDS = (
    FieldSpec(name="uid", dtype="string", description="identity of the sample, 32 hex digits"),
    FieldSpec(name="uid_derived", dtype="bool", description="whether it was derived, because the source gives none"),
    FieldSpec(name="key", dtype="string", description="the sample's key in its shard"),
)
REJECT_FIELD = FieldSpec(name="reject", dtype="string", description="why the sample has no scores, else null")

_VECTOR = re.compile(r"fixed_size_list<\w+: (\w+)>\[([0-9]+)\]")

MAX_EXACT = 1 << 53
"""Up to this float64 holds every integer."""

DECILES = tuple(range(0, 101, 10))
"""Percentiles that a column is summed up by: the minimum, nine deciles, the maximum."""


def score_table(samples: Sequence[PoolSample], results: Sequence[Row | str], columns: Sequence[FieldSpec]) -> pa.Table:
    """Return one row a sample.

    Args:
        samples: The samples of a shard.
        results: For each of them the values of `columns`, or the reason why there are none.
        columns: The columns to make; values that a row lacks are null.

    Raises:
        ConfigError: When a scorer gives another number of results, a column that every score file has, or values that
            are not of a column's type.
    """
    if len(results) != len(samples):
        raise ConfigError(f"the scorer gave {len(results)} results, expected one for each of {len(samples)} samples")
    rows: list[Row] = [{} if isinstance(result, str) else result for result in results]
    arrays = {
        "uid": pa.array([sample.uid.value for sample in samples], pa.string()),
        "uid_derived": pa.array([sample.uid.derived for sample in samples], pa.bool_()),
        "key": pa.array([sample.sample.key for sample in samples], pa.string()),
    }
    for column in columns:
        if column.name in arrays or column.name == REJECT_FIELD.name:
            raise ConfigError(
                f"the scorer gives a column {column.name!r}, which every score file has or it gave before"
            )
        try:
            arrays[column.name] = pa.array([row.get(column.name) for row in rows], arrow_type(column.dtype))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ConfigError(
                f"the scorer's column {column.name!r} cannot be of type {column.dtype}: {error}"
            ) from error
    reasons = [str(result) if isinstance(result, str) else None for result in results]
    return pa.table({**arrays, REJECT_FIELD.name: pa.array(reasons, pa.string())})


def vector_dtype(number: str, dim: int) -> str:
    """Return the type of a column of vectors in a `FieldSpec`: `dim` numbers of the Arrow type `number` each."""
    return str(_vector_type(number, dim))


def arrow_type(dtype: str) -> pa.DataType:
    """Return the Arrow type that the `dtype` of a `FieldSpec` of scores names."""
    vector = _VECTOR.fullmatch(dtype)
    return _vector_type(vector[1], int(vector[2])) if vector else pa.type_for_alias(dtype)


def is_vector(dtype: str) -> bool:
    """Tell whether the `dtype` of a `FieldSpec` is that of a column of vectors."""
    return _VECTOR.fullmatch(dtype) is not None


def _vector_type(number: str, dim: int) -> pa.DataType:
    return pa.list_(pa.field("element", pa.type_for_alias(number)), dim)  # the name that parquet gives back


def account_of(table: pa.Table) -> Account:
    """Return how many rows have scores, and how many have none for which reason."""
    reasons = table[REJECT_FIELD.name].drop_null().value_counts()
    rejected = {str(entry["values"]): entry["counts"].as_py() for entry in reasons}
    return Account(
        num_in=len(table),
        num_kept=len(table) - sum(rejected.values()),
        rejected=dict(sorted(rejected.items())),
    )


def write_table(table: pa.Table, path: Path) -> None:
    """Write `table` to `path` atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    atomic_write(path, buffer.getvalue())


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a score file, or some of its columns.

    Raises:
        DataError: When it is missing, no parquet file, or lacks a column.
    """
    try:
        # One thread: the files are small, and whoever reads many of them reads several at once.
        return pq.ParquetFile(path).read(columns=None if columns is None else list(columns), use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} is not a readable score file: {error}", hint="delete its dataset and score again"
        ) from error


def read_column(paths: Sequence[Path], column: str) -> pa.ChunkedArray:
    """Return a column of many score files, one after another."""
    return pa.concat_tables([read_table(path, [column]) for path in paths])[column]


def count_values(paths: Sequence[Path], column: str) -> Iterator[pa.Array]:
    """Yield for each of the score files how many rows of all share the row's value in `column`; null for null."""
    values = read_column(paths, column)
    codes_N = values.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    counts_N = np.bincount(codes_N + 1)[codes_N + 1]
    whole = pa.array(counts_N, pa.int64(), mask=codes_N < 0)
    start = 0
    for path in paths:
        num_rows = pq.ParquetFile(path).metadata.num_rows
        yield whole.slice(start, num_rows)
        start += num_rows


def is_number(type_: pa.DataType) -> bool:
    """Tell whether a column of this type can be compared with numbers."""
    return pa.types.is_integer(type_) or pa.types.is_floating(type_)


def is_amount(values: pa.Array | pa.ChunkedArray) -> bool:
    """Tell whether a column is of numbers whose size means something, which that of hashes does not.

    Hashes are those of type uint64, and integers so large that float64 does not hold all of them, as no count is.
    """
    if not pa.types.is_integer(values.type):
        return is_number(values.type)
    bounds = pc.call_function("min_max", [values]).as_py()
    return values.type != pa.uint64() and all(abs(bound or 0) <= MAX_EXACT for bound in bounds.values())


def deciles(paths: Sequence[Path], columns: Sequence[FieldSpec]) -> dict[str, float]:
    """Return `{"COLUMN.pNN": value}`: the percentiles 0, 10, ... 100 of every numeric column with a finite value.

    Texts and vectors have none, nor have hashes.
    """
    statistics = {}
    for column in columns:
        if column.dtype == "string" or is_vector(column.dtype):
            continue
        values = read_column(paths, column.name).drop_null()
        if not is_amount(values):
            continue
        values_N = values.to_numpy().astype(np.float64)
        values_N = values_N[np.isfinite(values_N)]
        if len(values_N):
            percentiles = np.percentile(values_N, DECILES)
            statistics |= {f"{column.name}.p{p}": float(value) for p, value in zip(DECILES, percentiles, strict=True)}
    return statistics


def read_scores(dataset: Dataset) -> tuple[NDArray[np.void], pa.Table]:
    """Read the scores of a whole pool in ascending order of uid; of samples that share a uid the first one stands.

    Returns:
        The distinct uids [N] of dtype `UID_DTYPE`, and a table of N rows with the score columns and `reject`.

    Raises:
        DataError: When a file is damaged.
    """
    assert dataset.manifest.details.kind == "scores"
    columns = ["uid", *dataset.manifest.details.columns, REJECT_FIELD.name]
    table = pa.concat_tables([read_table(dataset.shard_path(shard), columns) for shard in dataset.manifest.shards])
    uids_N, rows_N = sort_uids(parse_uids(table["uid"]))
    return uids_N, table.drop_columns(["uid"]).take(rows_N)
