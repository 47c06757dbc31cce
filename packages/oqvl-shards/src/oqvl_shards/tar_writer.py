"""Write plain tars whose bytes depend on names and contents alone, and that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from oqvl_shards.atomic import atomic_open
from oqvl_shards.errors import DataError, UsageError
from oqvl_shards.manifest import Shard
from oqvl_shards.tar_index import BLOCK_SIZE, Member, header_checksum, is_safe_name

MAX_MEMBER_BYTES = 8**11 - 1
"""The largest size that the eleven octal digits of a ustar header hold (8 GiB - 1)."""

_BUFFER_BYTES = 1 << 18
"""What is hashed and written at a time: members are small, and calls cost more than bytes that a cache holds."""

_END_OF_ARCHIVE = bytes(2 * BLOCK_SIZE)
_PADDING = tuple(bytes(size) for size in range(BLOCK_SIZE))


class TarWriter:
    """Write a tar; use as a context manager, then call `shard` for its manifest entry.

    The format is POSIX ustar with mtime 0, owner 0 and mode 0644, and a pax header before a member whose name is not
    ASCII or is longer than 100 bytes. The file appears under its name only when the block succeeds. Every byte is
    hashed on its way out, so `shard` reads nothing again.

    Args:
        path: The tar to write.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._names: set[str] = set()
        self._digest = hashlib.sha256()
        self._num_bytes = 0
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._num_buffered = 0
        self._is_finished = False

    def __enter__(self) -> Self:
        self._context = self._write_archive()
        self._file = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._context.__exit__(kind, error, traceback)

    @contextmanager
    def _write_archive(self) -> Iterator[IO[bytes]]:
        with atomic_open(self.path) as file:
            yield file
            self._write(_END_OF_ARCHIVE)
            self._flush()
        self._is_finished = True

    def add(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Append a member with the content `data`.

        Raises:
            DataError: When `name` is absolute, upward, holds control characters, or is taken; or `data` is too large.
        """
        self._write_header(name, len(data))
        self._write(data)
        self._write(_PADDING[-len(data) % BLOCK_SIZE])

    def copy(self, source: int | Path | str, member: Member, name: str) -> None:
        """Append a member with the content of `member` of another tar, byte for byte.

        Args:
            source: The other tar: an open file descriptor, or a path.
            member: What to copy, from that tar's index.
            name: The name of the new member.

        Raises:
            DataError: As `add`; or when `source` ends before `member` does.
        """
        if not isinstance(source, int):
            with Path(source).open("rb") as file:
                self.copy(file.fileno(), member, name)
            return
        self._write_header(name, member.size)
        # Through user space on purpose: the bytes must be hashed, and so the digest is of what was really written.
        position, end = member.offset, member.offset + member.size
        while position < end:
            free = self._buffer[self._num_buffered : self._num_buffered + end - position]
            num_read = os.preadv(source, [free], position)
            if not num_read:
                raise DataError(f"{self.path}: the source of {name!r} ends {end - position} bytes early")
            self._advance(num_read)
            position += num_read
        self._write(_PADDING[-member.size % BLOCK_SIZE])

    def shard(self, num_samples: int, relative_to: Path | str) -> Shard:
        """Return the manifest entry of the finished tar.

        Args:
            num_samples: Samples in it.
            relative_to: The dataset's directory.

        Raises:
            UsageError: Before the `with` block has ended well.
        """
        if not self._is_finished:
            raise UsageError(f"{self.path} is not finished", hint="call shard() after the `with TarWriter(...)` block")
        return Shard(
            path=self.path.relative_to(relative_to).as_posix(),
            num_samples=num_samples,
            num_bytes=self._num_bytes,
            sha256=self._digest.hexdigest(),
        )

    def _write_header(self, name: str, size: int) -> None:
        if not is_safe_name(name) or name.endswith("/"):
            raise DataError(
                f"{self.path}: member name {name!r} must be relative, never upward, without control characters"
            )
        if name in self._names:
            raise DataError(f"{self.path}: member {name!r} is there already")
        if size > MAX_MEMBER_BYTES:
            raise DataError(f"{self.path}: member {name!r} has {size} bytes, at most {MAX_MEMBER_BYTES} fit")
        self._names.add(name)
        encoded = name.encode()
        if len(encoded) > 100 or not name.isascii():
            record = _pax_record(b"path", encoded)
            self._write(_header(b"PaxHeader", len(record), b"x"))
            self._write(record)
            self._write(_PADDING[-len(record) % BLOCK_SIZE])
            encoded = name.encode("ascii", "replace")[:100]
        self._write(_header(encoded, size, b"0"))

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        start, size = 0, len(data)
        while start < size:
            num_fitting = min(size - start, _BUFFER_BYTES - self._num_buffered)
            self._buffer[self._num_buffered : self._num_buffered + num_fitting] = data[start : start + num_fitting]
            self._advance(num_fitting)
            start += num_fitting

    def _advance(self, num_bytes: int) -> None:
        """Count bytes that are now in the buffer, which is never left full."""
        self._num_buffered += num_bytes
        if self._num_buffered == _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        block = self._buffer[: self._num_buffered]
        self._file.write(block)
        self._digest.update(block)
        self._num_bytes += len(block)
        self._num_buffered = 0


_MODE_AND_OWNER = b"0000644\x000000000\x000000000\0"
_TIME = b"\x0000000000000\0"
_TAIL = (bytes(100) + b"ustar\x0000").ljust(355, b"\0")
_FIXED_SUM = header_checksum(bytes(100) + _MODE_AND_OWNER + bytes(11) + _TIME + bytes(9) + _TAIL)


def _header(name: bytes, size: int, kind: bytes) -> bytes:
    """Return a ustar header block (POSIX.1-2017, `pax`, table "ustar Header Block")."""
    digits = b"%011o" % size
    checksum = _FIXED_SUM + sum(name) + sum(digits) + kind[0]
    parts = (name.ljust(100, b"\0"), _MODE_AND_OWNER, digits, _TIME, b"%06o\0 " % checksum, kind, _TAIL)
    return b"".join(parts)


def _pax_record(key: bytes, value: bytes) -> bytes:
    """Return "{length} {key}={value}" and a newline, where length counts the whole record, its own digits included."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest
