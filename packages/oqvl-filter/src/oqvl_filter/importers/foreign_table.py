"""Foreign tables: one row per sample, identified by uid or by key, and validated before use.

Every importer reads one foreign file (or a few that belong together) into an Arrow table with the column `uid` or `key`
and the scores. `to_score_table` turns it into the rows of a score file. Foreign files are untrusted: nothing is
unpickled, sizes are checked before files are read, and rows that name no sample are counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oqvl_filter.importers.config import ImportLimits
from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.reader import ShardReader

_BAD_UID = "bad_uid"
"""Reason of a row whose uid is missing or is not 32 hex digits; the row is left out."""

_UNKNOWN_KEY = "unknown_key"
"""Reason of a row whose key no sample of the shard has; the row is left out."""

_NO_SCORE = "no_score"
"""Reason of a row without any value."""

_UID = r"^[0-9a-fA-F]{32}$"


def find_files(source: Path, *suffixes: str) -> list[Path]:
    """Return `source` if it is a file, or the files in it that end in one of `suffixes`, in natural order.

    Raises:
        ConfigError: If there is no such file.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"{source} is neither a file nor a folder", hint="check the path")
    paths = [path for path in source.glob("*") if path.suffix in suffixes and path.is_file()]
    if not paths:
        raise ConfigError(f"{source}: found no file that ends in {' or '.join(suffixes)}", hint="check the path")
    return sorted(paths, key=lambda path: natural_key(path.name))


def check_size(path: Path, limits: ImportLimits) -> None:
    """Raise `DataError` if a file is larger than the limit."""
    if (size := path.stat().st_size) > limits.max_file_bytes:
        raise DataError(
            f"{path}: found {size} bytes, expected at most {limits.max_file_bytes}",
            hint="split the file, or raise limits.max_file_bytes",
        )


def read_parquet(path: Path, limits: ImportLimits) -> pa.Table:
    """Read the flat columns of a parquet file.

    Raises:
        DataError: If the file is not parquet, if it unpacks to more than the limit, or if two columns share a name.
    """
    check_size(path, limits)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            names = [field.name for field in schema if _is_flat(field.type)]
            check_names(names, path)
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
            chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
            unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
            if unpacked > limits.max_unpacked_bytes:
                raise DataError(
                    f"{path} unpacks to {unpacked} bytes, expected at most {limits.max_unpacked_bytes}",
                    hint="split the file, or raise limits.max_unpacked_bytes",
                )
            return file.read(columns=names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}") from error


def _is_flat(type_: pa.DataType) -> bool:
    """Return whether a column of this type can be a score or an identity."""
    return is_text(type_) or pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)


def is_text(type_: pa.DataType) -> bool:
    """Return whether a column of this type holds text; which of these types it is depends on who wrote the file."""
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_dictionary(type_)


def check_names(names: Sequence[str], path: Path) -> None:
    """Raise `DataError` if two columns of a file share a name, because either could be meant."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns with the names {twice}", hint="rename them in the file")


def pick_columns(table: pa.Table, columns: Mapping[str, str], identity: Sequence[str], where: Path) -> pa.Table:
    """Return the identity columns that exist, and the scores under their new names.

    Args:
        table: The foreign table.
        columns: New names by the file's names; empty: all columns that no score file has of its own, unrenamed.
        identity: Names of the columns that say which sample a row is about.
        where: The file, for errors.

    Raises:
        ConfigError: If the file lacks one of `columns`.
    """
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ConfigError(f"{where}: found no column {missing}", hint=f"it has {table.column_names}")
    taken = (*identity, *(field.name for field in IDENTITY_FIELDS))
    chosen = columns or {name: name for name in table.column_names if name not in taken}
    arrays = {name: table[name] for name in identity if name in table.column_names}
    return pa.table({**arrays, **{new: table[name] for name, new in chosen.items()}})


def to_score_table(table: pa.Table, key_uids: Mapping[str, str] | None) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows of a score file, and the number of rows that name no sample, by reason.

    Args:
        table: The column `uid`, or `key` if `key_uids` is given, and scores; a column `reject` may hold reasons.
        key_uids: The uid of every key of the shard that the rows are about.
    """
    if key_uids is None:
        uids, reason = pc.call_function("utf8_lower", [_text(table, "uid")]), _BAD_UID
        is_uid = pc.call_function("match_substring_regex", [uids], pc.MatchSubstringOptions(_UID))
        known_N = is_uid.fill_null(False).to_numpy()
    else:
        keys = _text(table, "key").to_pylist()
        uids, reason = pa.chunked_array([pa.array([key_uids.get(key) for key in keys], pa.string())]), _UNKNOWN_KEY
        known_N = uids.is_valid().to_numpy()
    known = pa.array(known_N)
    kept, uids = table.filter(known), uids.filter(known)
    names = [name for name in table.column_names if name not in ("uid", "key", REJECT_FIELD.name)]
    columns = {name: _plain(kept[name]) for name in names}
    keys = kept["key"].cast(pa.string()) if "key" in kept.column_names else pa.nulls(len(kept), pa.string())
    identity = (uids, pa.array(np.zeros(len(kept), dtype=bool)), keys)
    fields = {field.name: column for field, column in zip(IDENTITY_FIELDS, identity, strict=True)}
    num_lost = int(np.count_nonzero(~known_N))
    whole = pa.table({**fields, **columns, REJECT_FIELD.name: _rejects(kept, columns)})
    return whole, {reason: num_lost} if num_lost else {}


def uids_of_shard(pool: Dataset, file_name: str) -> dict[str, str]:
    """Return the uid of every key in the shard of `pool` that a foreign file is about.

    `00000012_su.parquet` and `12.json` are about `00000012.tar`: the leading digits of the name decide.

    Raises:
        DataError: If there is no such shard.
    """
    wanted = _shard_number(file_name)
    for shard in pool.manifest.shards:
        if _shard_number(Path(shard.path).name) == wanted:
            with ShardReader(pool.whole_shard_path(shard), name=shard.path) as reader:
                samples = pool_samples(reader, pool.manifest.name)
                return {sample.sample.key: sample.uid.value for sample in samples}
    raise DataError(
        f"{file_name} belongs to no shard of {pool.path}", hint="files are matched to shards by their number"
    )


def _shard_number(name: str) -> str:
    stem = name.partition(".")[0]
    digits = stem[: len(stem) - len(stem.lstrip("0123456789"))]
    return str(int(digits)) if digits else stem


def _text(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(
            f"found the columns {table.column_names}, expected one called {name!r}",
            hint="name the column that says which sample a row is about: identity=COLUMN; with pool=POOL it holds keys",
        )
    return table[name].cast(pa.string())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as strings, and null for NaN."""
    if pa.types.is_floating(column.type):
        is_nan = pc.call_function("is_nan", [column])
        return pc.call_function("if_else", [is_nan, pa.scalar(None, column.type), column])
    return column.cast(pa.string()) if is_text(column.type) else column


def _rejects(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    """Return the reasons in `table`, and `_NO_SCORE` for other rows without a value."""
    has_reasons = REJECT_FIELD.name in table.column_names
    reasons = table[REJECT_FIELD.name].combine_chunks() if has_reasons else pa.nulls(len(table), pa.string())
    empty_N = np.full(len(table), bool(columns))
    for column in columns.values():
        empty_N &= column.is_null().to_numpy()
    without = pa.array(empty_N & reasons.is_null().to_numpy(zero_copy_only=False))
    return pc.call_function("if_else", [without, pa.scalar(_NO_SCORE), reasons])
