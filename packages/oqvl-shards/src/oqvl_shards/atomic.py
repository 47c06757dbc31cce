"""Write files atomically: temporary name, fsync, rename, fsync of the directory. No reader ever sees half a file."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL_SUFFIX = ".partial"
"""Ending of a file or directory that is being written. Nothing reads it. If its writer is dead, it may be deleted."""

_PARTIAL_FILE = re.compile(rf".+\.[0-9a-f]{{8}}{re.escape(PARTIAL_SUFFIX)}")


@contextmanager
def atomic_open(path: Path | str) -> Iterator[IO[bytes]]:
    """Open `path` for writing bytes. The file appears under its name, whole and flushed to disk, if the block succeeds.

    Until then it is called `{path}.{8 random hex digits}.partial`. Two writers of one path therefore never share a
    file, and the last one to finish wins with all of its bytes. A killed writer leaves its partial file behind;
    `remove_partials` deletes such files.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_directory(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def atomic_write(path: Path | str, data: bytes | memoryview) -> None:
    """Write `data` to `path` atomically; see `atomic_open`."""
    with atomic_open(path) as file:
        file.write(data)


def sync_directory(directory: Path) -> None:
    """Flush the entries of `directory` to disk. A rename in it then survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partials(directory: Path) -> None:
    """Delete the partial files that killed writers left in `directory` and below it.

    Call it only while no other process writes there.
    """
    for path in directory.rglob(f"*{PARTIAL_SUFFIX}"):
        if _PARTIAL_FILE.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
