"""Subsets: sets of uids, as our own datasets or as the `.npy` files that DataComp and others publish."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.uid_array import read_uid_file
from oqvl_shards.atomic import atomic_open
from oqvl_shards.manifest import Kind, Manifest, open_dataset

SUBSET_FILE = "subset.npy"


@dataclass(frozen=True)
class Subset:
    """A set of uids.

    Args:
        uids: Of dtype `UID_DTYPE`; ascending and distinct when it is a dataset of ours.
        digest: sha256 of the manifest, or of the file when there is none.
        manifest: The dataset's manifest; None for a bare `.npy`.
    """

    uids: NDArray[np.void]
    digest: str
    manifest: Manifest | None


def open_subset(path: Path) -> Subset:
    """Read the subset at `path`, a dataset of kind subset or a `.npy` of dtype "u8,u8".

    Raises:
        ManifestError: When it is a directory without a manifest of kind subset.
        DataError: When the file is not of the layout above.
    """
    if path.suffix == ".npy":
        return Subset(read_uid_file(path), hashlib.sha256(path.read_bytes()).hexdigest(), None)
    dataset = open_dataset(path, Kind.SUBSET)
    files = [read_uid_file(dataset.shard_path(shard)) for shard in dataset.manifest.shards]
    return Subset(np.concatenate(files), dataset.manifest.digest(), dataset.manifest)


def write_subset(uids: NDArray[np.void], path: Path) -> None:
    """Write ascending, distinct uids to `path` atomically."""
    with atomic_open(path) as file:
        np.save(file, uids, allow_pickle=False)
