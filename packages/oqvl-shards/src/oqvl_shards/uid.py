"""The identity of a sample across shards, score files and subsets: 32 hexadecimal digits.

DataComp gives every sample a `uid` in its json member, and publishes subsets as sorted `.npy` arrays of uids, each as a
pair of 64-bit words (Gadre et al., 2023, arXiv 2304.14108; the subset file of its resharder). For sources without uids
(LAION, CC12M and others that img2dataset downloads) a uid is derived.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import DataError
from oqvl_shards.tar.sample import Sample

UID_DTYPE = np.dtype("u8,u8")
"""A uid as (high, low) words, the layout of DataComp's subset files."""

_DERIVATION = "oqvl-uid-1"
_UID = re.compile(r"[0-9a-fA-F]{32}")


class Uid(NamedTuple):
    """The identity of a sample.

    Args:
        value: 32 lower-case hexadecimal digits.
        derived: Whether it was derived from the sample's place, because the source has no uids.
    """

    value: str
    derived: bool


def sample_uid(sample: Sample, metadata: Mapping[str, Any] | None, dataset_name: str) -> Uid:
    """Return the uid that the source gives in `metadata["uid"]`, or derive one from the sample's place.

    A derived uid is the first 32 hexadecimal digits of the sha256 of `oqvl-uid-1`, the dataset's name, the shard's path
    below the dataset's directory and the sample's key, joined by NUL bytes. None of these can hold a NUL byte.

    Args:
        sample: The sample.
        metadata: The content of its json member; None if it has none.
        dataset_name: The name of the dataset in its manifest.
    """
    given = metadata.get("uid") if metadata is not None else None
    if isinstance(given, str) and _UID.fullmatch(given):
        return Uid(given.lower(), derived=False)
    place = "\0".join((_DERIVATION, dataset_name, sample.shard, sample.key))
    return Uid(hashlib.sha256(place.encode()).hexdigest()[:32], derived=True)


def uid_to_words(uid: str) -> tuple[int, int]:
    """Return the (high, low) 64-bit words of `uid`.

    Raises:
        DataError: If `uid` is not 32 hexadecimal digits.
    """
    if not _UID.fullmatch(uid):
        raise DataError(f"found uid {uid!r}, expected 32 hexadecimal digits")
    return int(uid[:16], 16), int(uid[16:], 16)


def words_to_uid(high: int, low: int) -> str:
    """Return the 32 lower-case hexadecimal digits of a uid given as two 64-bit words."""
    return f"{int(high):016x}{int(low):016x}"


def uids_to_array(uids: Sequence[str]) -> NDArray[np.void]:
    """Return the distinct `uids` as a sorted array of dtype `UID_DTYPE`, ready for a subset file.

    Raises:
        DataError: If one of them is not 32 hexadecimal digits.
    """
    for uid in uids:
        uid_to_words(uid)  # raises if it is malformed
    words_N2 = np.frombuffer(bytes.fromhex("".join(uids)), dtype=">u8").reshape(-1, 2)
    high_N, low_N = words_N2[:, 0].astype(np.uint64), words_N2[:, 1].astype(np.uint64)
    order_N = np.lexsort((low_N, high_N))
    high_N, low_N = high_N[order_N], low_N[order_N]
    is_first_N = np.ones(len(order_N), dtype=bool)
    is_first_N[1:] = (high_N[1:] != high_N[:-1]) | (low_N[1:] != low_N[:-1])
    array = np.empty(int(is_first_N.sum()), dtype=UID_DTYPE)
    array["f0"], array["f1"] = high_N[is_first_N], low_N[is_first_N]
    return array


def array_to_uids(array: NDArray[Any]) -> list[str]:
    """Return the uids in an array of dtype `UID_DTYPE`, in its order.

    Raises:
        DataError: If the array is of another dtype or has more than one dimension.
    """
    if array.dtype != UID_DTYPE or array.ndim != 1:
        raise DataError(f"found a {array.ndim}-dimensional array of {array.dtype}, expected 1 dimension of {UID_DTYPE}")
    return [words_to_uid(high, low) for high, low in array.tolist()]
