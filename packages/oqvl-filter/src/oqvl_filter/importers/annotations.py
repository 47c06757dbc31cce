"""Annotations in JSON: an array of objects, one object per line, or one object that maps uids (or keys) to values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from oqvl_filter.importers.config import ImportLimits
from oqvl_filter.importers.foreign_table import check_size
from oqvl_shards.errors import DataError

_VALUE = "value"
"""Column of annotations that are a single value per sample."""


def read_annotations(path: Path, identity: str, limits: ImportLimits) -> pa.Table:
    """Read the annotations of a file: the column `identity`, and one column per field of numbers, texts or booleans.

    Raises:
        DataError: If the file has none of the layouts above, or a field has values of several types.
    """
    check_size(path, limits)
    try:
        text = path.read_text(encoding="utf-8")
        rows = [_row(value, path) for value in _values(text, identity)]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from error
    names = dict.fromkeys(name for row in rows for name in row)
    if identity not in names:
        raise DataError(f"{path}: no annotation has {identity!r}, found the fields {list(names)[:20]}")
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except UnicodeEncodeError as error:
            raise DataError(f"{path}: the field {name!r} holds text that is not UTF-8: {error}") from error
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(f"{path}: the field {name!r} has values of several types: {error}") from error
    try:
        return pa.table(columns)
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: the name of a field is not UTF-8: {error}") from error


def _values(text: str, identity: str) -> list[Any]:
    """Return the annotations in a text, whichever of the three layouts it has."""
    start = text.lstrip()[:1]
    if start == "[":
        return json.loads(text)
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        # Not splitlines(): a text in JSON may hold U+2028 and other characters that it takes for the end of a line.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    if not isinstance(whole, dict) or identity in whole:
        return [whole]
    return [
        {identity: name, **(value if isinstance(value, dict) else {_VALUE: value})} for name, value in whole.items()
    ]


def _row(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: found an annotation of type {type(value).__name__}, expected an object")
    return {
        name: entry for name, entry in value.items() if entry is None or isinstance(entry, str | bool | int | float)
    }
