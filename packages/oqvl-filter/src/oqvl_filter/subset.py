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
from oqvl_shards.manifest import Kind, Manifest
from oqvl_shards.uid import UID_DTYPE

SUBSET_FILE = "subset.npy"


@dataclass(frozen=True)
class Subset:
    """A set of uids on disk.

    Args:
        paths: The `.npy` files that hold it.
        digest: sha256 of the manifest, or of the file when there is none.
        manifest: The dataset's manifest; None for a bare `.npy`.
    """

    paths: tuple[Path, ...]
    digest: str
    manifest: Manifest | None

    @cached_property
    def uids(self) -> NDArray[np.void]:
        """The distinct uids, ascending, of dtype `UID_DTYPE`; files that are so already stay on disk (mapped)."""
        return read_uid_files(self.paths)


def open_subset(path: Path) -> Subset:
    """Open the subset at `path`, a dataset of kind subset or a `.npy` of dtype "u8,u8" in any order.

    Raises:
        ConfigError: When there is nothing at `path`, or a file of another kind.
        ManifestError: When it is a directory without a manifest of kind subset.
        DataError: When the file is not of the layout above.
    """
    if path.suffix == ".npy":
        if not path.is_file():
            raise ConfigError(f"no subset file at {path}", hint="check the path; it counts from where the command runs")
        map_uid_file(path)
        with path.open("rb") as file:
            return Subset((path,), hashlib.file_digest(file, "sha256").hexdigest(), None)
    if path.is_file():
        raise ConfigError(
            f"{path} is no subset: expected a .npy of dtype u8,u8, or a dataset of kind subset",
            hint=f"text with a uid a line becomes one: oqvl-filter import uids source={path} output=... name=...",
        )
    dataset = open_dataset(path, Kind.SUBSET)
    paths = tuple(dataset.shard_path(shard) for shard in dataset.manifest.shards)
    for one in paths:
        map_uid_file(one)
    return Subset(paths, dataset.manifest.digest(), dataset.manifest)


def write_subset(uids: NDArray[np.void], path: Path) -> None:
    """Write ascending, distinct uids to `path` atomically."""
    write_subset_blocks([uids], path)


def write_subset_blocks(blocks: Iterable[NDArray[np.void]], path: Path) -> int:
    """Write ascending, distinct uids that come in blocks to `path` atomically; return how many there were."""
    count = 0
    with atomic_open(path) as file:
        _write_header(file, 0)
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
            count += len(block)
        # numpy leaves room in the header for the length of the first axis to grow.
        file.seek(0)
        _write_header(file, count)
    return count


def _write_header(file: IO[bytes], count: int) -> None:
    header = {"descr": UID_DTYPE.descr, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)
