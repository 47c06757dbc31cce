"""Uids as sorted numpy arrays: from Arrow columns and subset files, joined without a loop over rows.

A uid is a pair of 64-bit words, (high, low), in an array of dtype `UID_DTYPE`; N is the number of uids.
"""

from __future__ import annotations

import binascii
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_shards.errors import DataError
from oqvl_shards.uid import UID_DTYPE

_BIG_ENDIAN_UID_DTYPE = np.dtype(">u8,>u8")
"""A uid whose bytes are in the order of its hex digits."""


def parse_uids(column: pa.ChunkedArray) -> NDArray[np.void]:
    """Return an Arrow column of uids, 32 hex digits each, as an array [N] of dtype `UID_DTYPE`.

    Raises:
        DataError: If a value is anything else.
    """
    try:
        fixed = column.cast(pa.binary()).cast(pa.binary(32))  # the digits, back to back in the second buffer
        digits = [
            memoryview(chunk.buffers()[1])[32 * chunk.offset :][: 32 * len(chunk)]
            for chunk in fixed.chunks
            if len(chunk)
        ]
        words = b"".join(map(binascii.unhexlify, digits))
    except (pa.ArrowInvalid, ValueError) as error:
        raise DataError(
            f"found a uid that is not 32 hexadecimal digits: {error}", hint="make the file with the uids again"
        ) from error
    if len(words) != 16 * len(column):
        raise DataError("found a row without a uid, expected 32 hexadecimal digits", hint="make the file again")
    return np.frombuffer(words, dtype=_BIG_ENDIAN_UID_DTYPE).astype(UID_DTYPE)


def pack_uids(uids: Iterable[str]) -> NDArray[np.void]:
    """Return uids, each of 32 hex digits, as an array [N] of dtype `UID_DTYPE`, in their order."""
    return np.frombuffer(bytes.fromhex("".join(uids)), dtype=_BIG_ENDIAN_UID_DTYPE).astype(UID_DTYPE)


def format_uids(uids_N: NDArray[np.void]) -> pa.StringArray:
    """Return uids of dtype `UID_DTYPE` as an Arrow column of 32 lower-case hex digits each."""
    return _hex_digits(uids_N.astype(_BIG_ENDIAN_UID_DTYPE))


def format_words(words_N: NDArray[np.uint64]) -> pa.StringArray:
    """Return 64-bit words as an Arrow column of 16 lower-case hex digits each."""
    return _hex_digits(words_N.astype(">u8"))


def _hex_digits(big_endian_N: NDArray[Any]) -> pa.StringArray:
    digits = pa.py_buffer(binascii.hexlify(big_endian_N.tobytes()))
    fixed = pa.Array.from_buffers(pa.binary(2 * big_endian_N.itemsize), len(big_endian_N), [None, digits])
    return fixed.cast(pa.binary()).cast(pa.string())


def _uid_order(uids_N: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the rows [N] in ascending order of uid; equal uids keep their order."""
    order_N = np.argsort(np.ascontiguousarray(uids_N["f0"]))
    high_N = uids_N["f0"][order_N]
    # Digests with equal high words are equal, so the low words matter only if some high words repeat.
    if np.any(high_N[1:] == high_N[:-1]):
        return np.lexsort((uids_N["f1"], uids_N["f0"]))
    return order_N


def _starts_of_runs(sorted_N: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return a mask [N] of the sorted uids that differ from the previous one."""
    high_N, low_N = sorted_N["f0"], sorted_N["f1"]
    is_first_N = np.ones(len(sorted_N), dtype=bool)
    is_first_N[1:] = (high_N[1:] != high_N[:-1]) | (low_N[1:] != low_N[:-1])
    return is_first_N


def sort_uids(uids_N: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return the distinct uids in ascending order, and the row of the first occurrence of each."""
    order_N = _uid_order(uids_N)
    sorted_N = uids_N[order_N]
    is_first_N = _starts_of_runs(sorted_N)
    if is_first_N.all():
        return sorted_N, order_N
    return sorted_N[is_first_N], order_N[is_first_N]


def first_rows(uids_N: NDArray[np.void]) -> NDArray[np.int64] | None:
    """Return the row of the first occurrence of every distinct uid, ascending; None if all uids are distinct."""
    high_N = np.sort(uids_N["f0"])
    if not np.any(high_N[1:] == high_N[:-1]):
        return None
    _, rows = sort_uids(uids_N)
    return None if len(rows) == len(uids_N) else np.sort(rows)


def is_ascending(uids_N: NDArray[np.void]) -> bool:
    """Return whether the uids are in ascending order and distinct."""
    high, low = uids_N["f0"], uids_N["f1"]
    ties = high[1:] == high[:-1]
    return not (np.any(high[1:] < high[:-1]) or (ties.any() and np.any(low[1:][ties] <= low[:-1][ties])))


def locate(sorted_M: NDArray[np.void], uids_N: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the index [N] of each of `uids_N` in `sorted_M` (ascending, distinct); -1 if it is not there."""
    high_N = np.ascontiguousarray(uids_N["f0"])
    places_N = _search(sorted_M["f0"], high_N)
    inside_N = places_N < len(sorted_M)
    inside_N[inside_N] = sorted_M["f0"][places_N[inside_N]] == high_N[inside_N]
    rows = np.flatnonzero(inside_N)
    matches = sorted_M["f1"][places_N[rows]] == uids_N["f1"][rows]
    places_N[~inside_N] = -1
    # If the first uid with this high word is another one, a later one may match (sources may count up).
    others = rows[~matches]
    if len(others):
        bytes_M, bytes_R = _as_bytes(sorted_M), _as_bytes(uids_N[others])
        found_R = np.searchsorted(bytes_M, bytes_R)
        is_there_R = found_R < len(bytes_M)
        is_there_R[is_there_R] = bytes_M[found_R[is_there_R]] == bytes_R[is_there_R]
        places_N[others] = np.where(is_there_R, found_R, -1)
    return places_N


FEW = 64
"""A set that is this many times larger than the other one is searched on disk instead of being copied to memory."""


def _search(words_M: NDArray[np.uint64], words_N: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each of `words_N` the first index [N] in the ascending `words_M` of a word that is not smaller."""
    if len(words_M) <= FEW * len(words_N):
        return np.searchsorted(np.ascontiguousarray(words_M), words_N)
    places_N = np.zeros(len(words_N), dtype=np.int64)
    ends_N = np.full(len(words_N), len(words_M))
    for _ in range(len(words_M).bit_length()):  # bisection of all words at once
        middle_N = (places_N + ends_N) >> 1
        is_below_N = words_M[np.minimum(middle_N, len(words_M) - 1)] < words_N
        is_below_N &= places_N < ends_N
        places_N, ends_N = np.where(is_below_N, middle_N + 1, places_N), np.where(is_below_N, ends_N, middle_N)
    return places_N


def contains(members_M: NDArray[np.void], uids_N: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return a mask [N] of those of `uids_N` that are in `members_M`, which may be unordered and repeat."""
    sorted_M = members_M if is_ascending(members_M) else sort_uids(members_M)[0]
    return locate(sorted_M, uids_N) >= 0


def hash_uids(uids_N: NDArray[np.void], seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash [N] of every uid, for an order that is independent of the content.

    Both words go through the finalizer of SplitMix64 (Steele, Lea and Flood, 2014, "Fast Splittable Pseudorandom Number
    Generators"). The uid itself would not do: some sources number their samples instead of hashing them.
    """
    return _mix(uids_N["f0"] ^ _mix(uids_N["f1"] ^ _mix(np.array([seed], dtype=np.uint64))))


def hash_words(left_N: NDArray[np.uint64], right_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a 64-bit hash [N] of every pair of words, with the finalizer of `hash_uids`."""
    return _mix(left_N ^ _mix(right_N))


def map_uid_file(path: Path) -> NDArray[np.void]:
    """Map a subset file (`.npy`, dtype "u8,u8", one dimension) into memory; nothing is read yet.

    Raises:
        DataError: If the file is anything else.
    """
    try:
        uids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:  # the last two: a broken header
        raise DataError(f"{path} is not a readable .npy file: {error}") from error
    if not isinstance(uids, np.ndarray) or uids.dtype != UID_DTYPE or uids.ndim != 1:
        found = f"{uids.ndim}-dimensional {uids.dtype}" if isinstance(uids, np.ndarray) else type(uids).__name__
        raise DataError(f"{path}: found {found}, expected 1-dimensional {UID_DTYPE}")
    return uids


def read_uid_files(paths: Sequence[Path]) -> NDArray[np.void]:
    """Return the distinct uids of subset files, ascending; a single file in that order is mapped, not read.

    Raises:
        DataError: If a file has another layout.
    """
    files = [map_uid_file(path) for path in paths]
    uids = files[0] if len(files) == 1 else np.concatenate([np.empty(0, UID_DTYPE), *files])
    return uids if is_ascending(uids) else sort_uids(uids)[0]


def _as_bytes(uids_N: NDArray[np.void]) -> NDArray[np.bytes_]:
    """Return every uid as 16 bytes, which numpy compares in one step and which sort like the uids."""
    return uids_N.astype(_BIG_ENDIAN_UID_DTYPE).view("S16")


def _mix(words_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words_N = words_N + np.uint64(0x9E3779B97F4A7C15)
    words_N = (words_N ^ (words_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words_N = (words_N ^ (words_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words_N ^ (words_N >> np.uint64(31))
