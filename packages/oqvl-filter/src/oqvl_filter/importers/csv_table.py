"""Scores in CSV whose first line names the columns."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from oqvl_filter.importers.config import ImportLimits
from oqvl_filter.importers.foreign_table import check_names, check_size
from oqvl_shards.errors import DataError


def read_csv(path: Path, identity: str, limits: ImportLimits) -> pa.Table:
    """Read a CSV file. Empty fields are null, and the column `identity` is text even if it is all digits.

    Raises:
        DataError: If the file is not CSV, or two columns share a name.
    """
    check_size(path, limits)
    types = {identity: pa.string()}
    try:
        table = _read(path, types)
        check_names(table.column_names, path)
        # Arrow reads integers beyond int64, like half of all 64-bit hashes, as floats, which cannot hold them exactly.
        large = [name for name in table.column_names if name != identity and _is_beyond_int64(table[name])]
        texts = _read(path, {**types, **dict.fromkeys(large, pa.string())}) if large else table
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable CSV file: {error}") from error
    for name in large:
        with suppress(pa.ArrowInvalid):  # the column holds floats after all
            words = texts[name].cast(pa.uint64())
            table = table.set_column(table.column_names.index(name), name, words)
    return table


def _read(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=True))


def _is_beyond_int64(values: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(values.type) and (pc.call_function("max", [values]).as_py() or 0) >= 2.0**63
