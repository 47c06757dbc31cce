"""Scores in CSV with a line of names at the top."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.foreign_table import check_size
from oqvl_shards.errors import DataError


def read_csv(path: Path, identity: str, limits: ImportLimits) -> pa.Table:
    """Read a CSV file; empty fields are no values, and `identity` is text even when it is all digits.

    Raises:
        DataError: When it is no CSV file.
    """
    check_size(path, limits)
    convert = pacsv.ConvertOptions(column_types={identity: pa.string()}, strings_can_be_null=True)
    try:
        return pacsv.read_csv(path, convert_options=convert)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable CSV file: {error}") from error
