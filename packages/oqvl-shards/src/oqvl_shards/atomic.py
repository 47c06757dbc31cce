"""Write files so that a reader never sees half of one: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TEMPORARY_SUFFIX = ".partial"
"""Ending of a file that is being written; such files are never read and may be deleted at any time."""


@contextmanager
def atomic_open(path: Path | str) -> Iterator[IO[bytes]]:
    """Open `path` for writing bytes; it appears under its name, whole and on disk, only when the block succeeds.

    The temporary name is `{path}.partial`, so a killed writer's leftover is overwritten by its own rerun.
    """
    path = Path(path)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path | str, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically; see `atomic_open`."""
    with atomic_open(path) as file:
        file.write(data)


def sync_directory(directory: Path) -> None:
    """Flush `directory`'s entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
