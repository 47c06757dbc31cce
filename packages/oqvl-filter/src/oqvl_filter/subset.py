"""Subsets: sets of uids, as our own datasets or as the `.npy` files that DataComp and others publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.uid_array import map_uid_file, read_uid_files
from oqvl_shards.atomic import atomic_open
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Kind, Manifest
from oqvl_shards.uid import UID_DTYPE

SUBSET_FILE = "subset.npy"

SUBSET_FIELDS = (FieldSpec(name="uid", dtype="u8,u8", description="uid as (high, low) words"),)
"""What the manifest says about the rows of a subset."""


@dataclass(frozen=True)
class Subset:
    """A set of uids on disk.

    Args:
        paths: The `.npy` files that hold it.
        digest: sha256 of the manifest, or of the file if there is no manifest.
        manifest: The dataset's manifest; None for a bare `.npy`.
    """

    paths: tuple[Path, ...]
    digest: str
    manifest: Manifest | None

    @cached_property
    def uids(self) -> NDArray[np.void]:
        """The distinct uids, ascending, of dtype `UID_DTYPE`; a file in that order is mapped, not read."""
        return read_uid_files(self.paths)


def open_subset(path: Path) -> Subset:
    """Open the subset at `path`: a dataset of kind subset, or a `.npy` of dtype "u8,u8" in any order.

    Raises:
        ConfigError: If there is no file at `path`, or one of another kind.
        ManifestError: If it is a directory without a manifest of kind subset.
        DataError: If the file has another layout.
    """
    if path.suffix == ".npy":
        if not path.is_file():
            raise ConfigError(
                f"no subset file at {path}", hint="check the path; it is relative to the working directory"
            )
        map_uid_file(path)
        with path.open("rb") as file:
            return Subset((path,), hashlib.file_digest(file, "sha256").hexdigest(), None)
    if path.is_file():
        raise ConfigError(
            f"{path} is not a subset: expected a .npy of dtype u8,u8, or a dataset of kind subset",
            hint=f"for text with one uid per line: oqvl-filter import uids source={path} output=... name=...",
        )
    dataset = open_dataset(path, Kind.SUBSET)
    paths = tuple(dataset.shard_path(shard) for shard in dataset.manifest.shards)
    for file_path in paths:
        map_uid_file(file_path)
    return Subset(paths, dataset.manifest.digest(), dataset.manifest)


def write_subset(uids: NDArray[np.void], path: Path) -> None:
    """Write ascending, distinct uids to `path` atomically."""
    write_subset_blocks([uids], path)


def write_subset_blocks(blocks: Iterable[NDArray[np.void]], path: Path) -> int:
    """Write ascending, distinct uids that arrive in blocks to `path` atomically; return their number."""
    count = 0
    with atomic_open(path) as file:
        _write_header(file, 0)
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
            count += len(block)
        # numpy pads the header so that the length of the first axis can grow.
        file.seek(0)
        _write_header(file, count)
    return count


def _write_header(file: IO[bytes], count: int) -> None:
    header = {"descr": UID_DTYPE.descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)
