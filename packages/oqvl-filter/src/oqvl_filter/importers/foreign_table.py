"""Tables of other people: one row a sample, found by uid or by key, checked before anything is believed.

Every importer reads one foreign file (or a few that belong together) into an Arrow table with the column `uid` or `key`
and scores beside it; `to_score_table` makes a score file's rows of it. Foreign files are untrusted: nothing in them is
unpickled, their sizes are looked at before they are read, and rows that name no sample are counted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oqvl_filter.config import ImportLimits
from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.reader import ShardReader

BAD_UID = "bad_uid"
"""Reason of a row whose uid is not 32 hex digits, or is missing; it is left out."""

UNKNOWN_KEY = "unknown_key"
"""Reason of a row whose key no sample of the shard has; it is left out."""

NO_SCORE = "no_score"
"""Reason of a row without a single value."""

_UID = r"^[0-9a-fA-F]{32}$"


def find_files(source: Path, *suffixes: str) -> list[Path]:
    """Return `source`, or the files in it that end in one of `suffixes`, numbers in their order.

    Raises:
        ConfigError: When there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"{source} is neither a file nor a folder", hint="check the path")
    found = [path for path in source.glob("*") if path.suffix in suffixes and path.is_file()]
    if not found:
        raise ConfigError(f"{source}: found no file that ends in {' or '.join(suffixes)}", hint="check the path")
    return sorted(found, key=lambda path: natural_key(path.name))


def check_size(path: Path, limits: ImportLimits) -> None:
    """Raise `DataError` when a file is larger than may be read at once."""
    if (size := path.stat().st_size) > limits.max_file_bytes:
        raise DataError(
            f"{path}: found {size} bytes, expected at most {limits.max_file_bytes}",
            hint="split the file, or raise limits.max_file_bytes",
        )


def read_parquet(path: Path, limits: ImportLimits, wanted: Sequence[str] | None = None) -> pa.Table:
    """Read the flat columns of a parquet file, or those of `wanted` that it has.

    Raises:
        DataError: When it is no parquet file, or unpacks to more than may be read at once.
    """
    check_size(path, limits)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            flat = [field.name for field in schema if is_flat(field.type)]
            names = [name for name in flat if wanted is None or name in wanted]
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


def is_flat(type_: pa.DataType) -> bool:
    """Tell whether a column of this type can be a score or an identity."""
    is_text = pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_dictionary(type_)
    return is_text or pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)


def check_names(names: Sequence[str], path: Path) -> None:
    """Raise `DataError` when two columns of a file have one name: which of them is meant cannot be told."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has several columns of the names {twice}", hint="rename them in the file")


def pick_columns(table: pa.Table, columns: Mapping[str, str], identity: Sequence[str], where: Path) -> pa.Table:
    """Return the columns of `identity` that there are, and the scores: those of `columns` under their new names.

    Args:
        table: What was read.
        columns: New name by the file's name; empty: all but those that every score file has, under their own names.
        identity: Names of the columns that tell which sample a row is of.
        where: The file, for errors.

    Raises:
        ConfigError: When the file lacks one of `columns`.
    """
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ConfigError(f"{where}: found no column {missing}", hint=f"it has {table.column_names}")
    taken = (*identity, *(field.name for field in IDENTITY_FIELDS))
    chosen = columns or {name: name for name in table.column_names if name not in taken}
    arrays = {name: table[name] for name in identity if name in table.column_names}
    return pa.table({**arrays, **{new: table[name] for name, new in chosen.items()}})


def to_score_table(table: pa.Table, key_uids: Mapping[str, str] | None) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows of a score file, and how many rows name no sample, by reason.

    Args:
        table: The column `uid`, or `key` when `key_uids` is given, and scores; a column `reject` may hold reasons.
        key_uids: The uid of every key of the shard that the rows are of.
    """
    if key_uids is None:
        uids, reason = pc.call_function("utf8_lower", [_text(table, "uid")]), BAD_UID
        is_uid = pc.call_function("match_substring_regex", [uids], pc.MatchSubstringOptions(_UID))
        known_N = is_uid.fill_null(False).to_numpy()
    else:
        keys = _text(table, "key").to_pylist()
        uids, reason = pa.chunked_array([pa.array([key_uids.get(key) for key in keys], pa.string())]), UNKNOWN_KEY
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
    """Return the uid of every key in that shard of `pool` whose file is called as `file_name` up to the suffix.

    `00000012_su.parquet` and `12.json` are of `00000012.tar`: the digits before the first other character count.

    Raises:
        DataError: When there is no such shard.
    """
    wanted = _shard_number(file_name)
    for shard in pool.manifest.shards:
        if _shard_number(Path(shard.path).name) == wanted:
            with ShardReader(pool.whole_shard_path(shard), name=shard.path) as reader:
                return {one.sample.key: one.uid.value for one in pool_samples(reader, pool.manifest.name)}
    raise DataError(f"{file_name} is of no shard of {pool.path}", hint="files are matched with shards by their number")


def _shard_number(name: str) -> str:
    stem = name.partition(".")[0]
    digits = stem[: len(stem) - len(stem.lstrip("0123456789"))]
    return str(int(digits)) if digits else stem


def _text(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(
            f"found the columns {table.column_names}, expected one called {name!r}",
            hint="name the one that says which sample a row is of: identity=COLUMN; with pool=POOL it holds keys",
        )
    return table[name].cast(pa.string())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as strings, and no value where a number is none."""
    if pa.types.is_floating(column.type):
        is_nan = pc.call_function("is_nan", [column])
        return pc.call_function("if_else", [is_nan, pa.scalar(None, column.type), column])
    is_text = pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type)
    return column.cast(pa.string()) if is_text else column


def _rejects(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Array:
    """Return the reasons that `table` has, and for other rows without a value `NO_SCORE`."""
    has_reasons = REJECT_FIELD.name in table.column_names
    reasons = table[REJECT_FIELD.name].combine_chunks() if has_reasons else pa.nulls(len(table), pa.string())
    empty_N = np.full(len(table), bool(columns))
    for column in columns.values():
        empty_N &= column.is_null().to_numpy()
    without = pa.array(empty_N & reasons.is_null().to_numpy(zero_copy_only=False))
    return pc.call_function("if_else", [without, pa.scalar(NO_SCORE), reasons])
