"""Score files: one parquet per pool shard, one row per sample, including the rejected ones.

The columns are `IDENTITY_FIELDS`, the scorer's own, and `REJECT_FIELD`, the reason why a sample has no scores; its
score columns are null then. Rows are in the order of the shard. File `00007.parquet` belongs to the pool's shard number
7 (0-based, as in its manifest).
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

from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account, FieldSpec

IDENTITY_FIELDS = (
    FieldSpec(name="uid", dtype="string", description="identity of the sample, 32 hex digits"),
    FieldSpec(name="uid_derived", dtype="bool", description="whether it was derived, because the source gives none"),
    FieldSpec(name="key", dtype="string", description="the sample's key in its shard"),
)
REJECT_FIELD = FieldSpec(name="reject", dtype="string", description="why the sample has no scores, else null")

DECILES = tuple(range(0, 101, 10))
"""Percentiles that summarise a column: the minimum, nine deciles, the maximum."""

_VECTOR = re.compile(r"fixed_size_list<\w+: (\w+)>\[([0-9]+)\]")

_MAX_EXACT = 1 << 53
"""Float64 holds every integer up to this one."""


def vector_dtype(number: str, dim: int) -> str:
    """Return the `dtype` in a `FieldSpec` of a column of vectors with `dim` numbers of the Arrow type `number`."""
    return str(_vector_type(number, dim))


def arrow_type(dtype: str) -> pa.DataType:
    """Return the Arrow type that the `dtype` of a `FieldSpec` of scores names."""
    vector = _VECTOR.fullmatch(dtype)
    return _vector_type(vector[1], int(vector[2])) if vector else pa.type_for_alias(dtype)


def is_vector(dtype: str) -> bool:
    """Return whether the `dtype` of a `FieldSpec` is that of a column of vectors."""
    return _VECTOR.fullmatch(dtype) is not None


def _vector_type(number: str, dim: int) -> pa.DataType:
    return pa.list_(pa.field("element", pa.type_for_alias(number)), dim)  # the name that parquet returns


def account_of(table: pa.Table) -> Account:
    """Return how many rows have scores, and how many have none for each reason."""
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
        DataError: If the file is missing or is not a parquet file, or if it lacks a column.
    """
    try:
        # One thread: the files are small, and callers that read many files read several at once.
        return pq.ParquetFile(path).read(columns=None if columns is None else list(columns), use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} is not a readable score file: {error}", hint="delete its dataset and score again"
        ) from error


def _read_column(paths: Sequence[Path], column: str) -> pa.ChunkedArray:
    """Return a column of many score files, one after another."""
    return pa.concat_tables([read_table(path, [column]) for path in paths])[column]


def count_values(paths: Sequence[Path], column: str) -> Iterator[pa.Array]:
    """Yield per score file how many rows of all files share each row's value in `column`; null for null."""
    values = _read_column(paths, column)
    codes_N = values.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    counts_N = np.bincount(codes_N + 1)[codes_N + 1]
    whole = pa.array(counts_N, pa.int64(), mask=codes_N < 0)
    start = 0
    for path in paths:
        num_rows = pq.ParquetFile(path).metadata.num_rows
        yield whole.slice(start, num_rows)
        start += num_rows


def is_number(type_: pa.DataType) -> bool:
    """Return whether a column of this type can be compared with numbers."""
    return pa.types.is_integer(type_) or pa.types.is_floating(type_)


def is_amount(values: pa.Array | pa.ChunkedArray) -> bool:
    """Return whether a column holds numbers whose size means something, unlike that of hashes.

    Hashes are columns of type uint64, and integers so large that float64 cannot hold all of them, which no count is.
    """
    if not pa.types.is_integer(values.type):
        return is_number(values.type)
    bounds = pc.call_function("min_max", [values]).as_py()
    return values.type != pa.uint64() and all(abs(bound or 0) <= _MAX_EXACT for bound in bounds.values())


def deciles(paths: Sequence[Path], columns: Sequence[FieldSpec]) -> dict[str, float]:
    """Return `{"COLUMN.pNN": value}`: the percentiles 0, 10, ... 100 of every numeric column with a finite value.

    Texts, vectors and hashes have none.
    """
    statistics = {}
    for column in columns:
        if column.dtype == "string" or is_vector(column.dtype):
            continue
        values = _read_column(paths, column.name).drop_null()
        if not is_amount(values):
            continue
        values_N = values.to_numpy().astype(np.float64)
        values_N = values_N[np.isfinite(values_N)]
        if len(values_N):
            percentiles = np.percentile(values_N, DECILES)
            statistics |= {f"{column.name}.p{p}": float(value) for p, value in zip(DECILES, percentiles, strict=True)}
    return statistics
