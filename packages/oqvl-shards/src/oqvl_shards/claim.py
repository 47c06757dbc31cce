"""Claim a directory before writing to it: one writer at a time, and a dead writer's claim never blocks.

The claim is a lock of the kernel on `claim.json` in the directory. The kernel releases it when the process ends, for
any reason, so nothing has to expire. The file's content is for people: it names the owner and the time.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from oqvl_shards.config import Frozen
from oqvl_shards.errors import ConfigError

CLAIM_NAME = "claim.json"

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Error numbers of a file system without locks."""

_MAX_OWNER_SECONDS = 0.5  # how long to wait until an owner that has just locked the file writes its name into it

_log = logging.getLogger(__name__)

_held: set[int] = set()
"""Descriptors of the claims that this process holds."""


class Owner(Frozen):
    """The process that holds a claim."""

    tool: str = Field(description="package and command, e.g. oqvl-filter score")
    pid: int = Field(description="process id on its host")
    host: str = Field(description="name of its host")
    since: str = Field(description="when it claimed the directory, UTC, ISO 8601 to the second")

    def __str__(self) -> str:
        return f"{self.tool}: process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def claim(directory: Path, tool: str) -> Iterator[None]:
    """Hold the only claim on `directory` while the block runs.

    On a file system without locks a warning is logged, and nothing is held.

    Args:
        directory: An existing directory.
        tool: Package and command of the caller, for the message to other processes.

    Raises:
        ConfigError: If another process, or another part of this one, holds the claim.
    """
    path = directory / CLAIM_NAME
    descriptor = _lock(path, directory)
    process = os.getpid()
    _held.add(descriptor)
    try:
        _write_owner(descriptor, tool)
        yield
    finally:
        if os.getpid() == process:  # a forked child that leaves the block holds nothing
            _held.discard(descriptor)
            if _is_open_as(descriptor, path):
                path.unlink(missing_ok=True)
            os.close(descriptor)


def _lock(path: Path, directory: Path) -> int:
    """Return a descriptor of `path` with an exclusive lock on it.

    Raises:
        ConfigError: If another descriptor has the lock.
        OSError: If the file cannot be opened or locked.
    """
    while True:
        descriptor, is_writable = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _read_owner(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f"{directory} is being written by {owner or 'another process'}",
                hint="wait until it has finished, stop it, or choose another output directory",
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            _log.warning("%s: its file system has no locks; make sure that no other run writes there", directory)
            return descriptor
        # The previous owner may have removed the file between `open` and `flock`. A lock on the removed file would not
        # exclude anyone.
        if _is_open_as(descriptor, path):
            if is_writable:
                return descriptor
            path.unlink()  # a dead owner's file, of another user; the next one is ours
        os.close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    """Open the file at `path`, or create it. Return its descriptor, and whether it can be written.

    A file of another user may only be readable. That is enough to find out whether its owner is alive.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666), True
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY), False


def _is_open_as(descriptor: int, path: Path) -> bool:
    """Return whether `descriptor` is open on the file that is at `path` now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_owner(descriptor: int, tool: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    owner = Owner(tool=tool, pid=os.getpid(), host=socket.gethostname(), since=since)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (owner.model_dump_json() + "\n").encode(), 0)


def _read_owner(descriptor: int) -> Owner | None:
    """Return the holder of the lock, or None if the file does not name it in time."""
    deadline = time.monotonic() + _MAX_OWNER_SECONDS
    while True:
        with suppress(ValidationError):
            return Owner.model_validate_json(os.pread(descriptor, 1 << 16, 0))
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


def _drop_inherited_claims() -> None:
    """Close the claims that a forked process inherits. They would stay locked after the owner's death."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_drop_inherited_claims)
