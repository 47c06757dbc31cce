"""Lists of uids: DataComp's `.npy` files, and text with one uid per line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.uid_array import map_uid_file, parse_uids, sort_uids
from oqvl_shards.errors import ConfigError, DataError

_EXPECTED = "give a .npy of dtype u8,u8, or a text file with one uid per line"
_UID = re.compile("[0-9a-fA-F]{32}")


def read_uid_list(path: Path) -> tuple[NDArray[np.void], int]:
    """Return the distinct uids of a file, ascending, and the number of uids with repetitions.

    Raises:
        ConfigError: If there is no such file.
        DataError: If the file is neither a `.npy` of dtype "u8,u8" nor a text of uids.
    """
    if not path.is_file():
        raise ConfigError(f"no file at {path}", hint="check the path")
    if path.suffix == ".npy":
        uids = map_uid_file(path)
    else:
        try:
            lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not a text of uids: {error}", hint=_EXPECTED) from error
        bad = next((number for number, line in enumerate(lines, 1) if line and not _UID.fullmatch(line)), None)
        if bad is not None:
            raise DataError(
                f"{path}:{bad}: found {lines[bad - 1][:80]!r}, expected a uid, 32 hexadecimal digits", hint=_EXPECTED
            )
        uids = parse_uids(pa.chunked_array([pa.array([line for line in lines if line], pa.string())]))
    return sort_uids(uids)[0], len(uids)
