"""Uids as sorted numpy arrays: from Arrow columns and subset files, joined without a loop over rows.

A uid is a pair of 64-bit words, (high, low), in an array of dtype `UID_DTYPE`; N is the number of uids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_shards.errors import DataError
from oqvl_shards.uid import UID_DTYPE


def parse_uids(column: pa.ChunkedArray) -> NDArray[np.void]:
    """Return an Arrow column of uids, 32 hex digits each, as an array [N] of dtype `UID_DTYPE`.

    Raises:
        DataError: When a value is anything else.
    """
    try:
        fixed = column.cast(pa.binary()).cast(pa.binary(32))  # the digits alone, back to back in the second buffer
        digits = b"".join(memoryview(chunk.buffers()[1])[: 32 * len(chunk)] for chunk in fixed.chunks)
        words_N2 = np.frombuffer(bytes.fromhex(digits.decode()), dtype=">u8").reshape(len(column), 2)
    except (pa.ArrowInvalid, ValueError) as error:
        raise DataError(
            f"found a uid that is not 32 hexadecimal digits: {error}", hint="score the pool again"
        ) from error
    uids_N = np.empty(len(column), dtype=UID_DTYPE)
    uids_N["f0"], uids_N["f1"] = words_N2[:, 0], words_N2[:, 1]
    return uids_N


def sort_uids(uids_N: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return the distinct uids in ascending order, and the row of the first occurrence of each."""
    order_N = np.lexsort((uids_N["f1"], uids_N["f0"]))  # stable: equal uids stay in row order
    sorted_N = uids_N[order_N]
    is_first_N = np.ones(len(order_N), dtype=bool)
    is_first_N[1:] = sorted_N[1:] != sorted_N[:-1]
    return sorted_N[is_first_N], order_N[is_first_N]


def contains(members_M: NDArray[np.void], uids_N: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return a mask [N]: which of `uids_N` are among `members_M` (in any order, repeated or not)."""
    return np.isin(_as_bytes(uids_N), _as_bytes(members_M))


def hash_uids(uids_N: NDArray[np.void], seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash [N] of every uid: an order that has nothing to do with the content.

    Both words go through the finalizer of SplitMix64 (Steele, Lea and Flood, 2014, "Fast Splittable Pseudorandom Number
    Generators"). The uid itself would do as an order if it were always a digest; sources are free to count up.
    """
    return _mix(uids_N["f0"] ^ _mix(uids_N["f1"] ^ _mix(np.array([seed], dtype=np.uint64))))


def read_uid_file(path: Path) -> NDArray[np.void]:
    """Read a subset file: `.npy`, dtype "u8,u8", one dimension.

    Raises:
        DataError: When it is anything else.
    """
    try:
        uids = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable .npy file: {error}") from error
    if not isinstance(uids, np.ndarray) or uids.dtype != UID_DTYPE or uids.ndim != 1:
        found = f"{uids.ndim}-dimensional {uids.dtype}" if isinstance(uids, np.ndarray) else type(uids).__name__
        raise DataError(f"{path}: found {found}, expected 1-dimensional {UID_DTYPE}")
    return uids


def _mix(words_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words_N = words_N + np.uint64(0x9E3779B97F4A7C15)
    words_N = (words_N ^ (words_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words_N = (words_N ^ (words_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words_N ^ (words_N >> np.uint64(31))


def _as_bytes(uids_N: NDArray[np.void]) -> NDArray[np.bytes_]:
    """Return every uid as 16 bytes, which numpy compares at once."""
    words_N2 = np.empty((len(uids_N), 2), dtype=">u8")
    words_N2[:, 0], words_N2[:, 1] = uids_N["f0"], uids_N["f1"]
    return words_N2.view("S16").ravel()
