"""Scores in CSV with a line of names at the top."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.foreign_table import check_names, check_size
from oqvl_shards.errors import DataError


def read_csv(path: Path, identity: str, limits: ImportLimits) -> pa.Table:
    """Read a CSV file; empty fields are no values, and `identity` is text even when it is all digits.

    Raises:
        DataError: When it is no CSV file, or two columns have one name.
    """
    check_size(path, limits)
    types = {identity: pa.string()}
    try:
        table = _read(path, types)
        check_names(table.column_names, path)
        # Arrow takes integers beyond int64, which half of all 64-bit hashes are, for floats, which do not hold them.
        large = [name for name in table.column_names if name != identity and _is_beyond_int64(table[name])]
        texts = _read(path, {**types, **dict.fromkeys(large, pa.string())}) if large else table
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable CSV file: {error}") from error
    for name in large:
        with suppress(pa.ArrowInvalid):  # floats after all
            words = texts[name].cast(pa.uint64())
            table = table.set_column(table.column_names.index(name), name, words)
    return table


def _read(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=True))


def _is_beyond_int64(values: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(values.type) and (pc.call_function("max", [values]).as_py() or 0) >= 2.0**63
