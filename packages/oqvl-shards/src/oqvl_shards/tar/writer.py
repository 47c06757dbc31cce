"""Write plain tars. Their bytes depend only on names and contents, and they appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.atomic import atomic_open
from oqvl_shards.errors import DataError, UsageError
from oqvl_shards.manifest import Shard
from oqvl_shards.tar.descriptor_cache import DescriptorCache
from oqvl_shards.tar.index import BLOCK_SIZE, Member, unsafe_names

_MAX_MEMBER_BYTES = 8**11 - 1
"""The largest size that fits into the eleven octal digits of a ustar header (8 GiB - 1)."""

_BUFFER_BYTES = 1 << 18
"""Bytes that are hashed and written together. Members are small, so single calls would cost more than the copying."""

_END_OF_ARCHIVE = bytes(2 * BLOCK_SIZE)
_PADDING = tuple(bytes(size) for size in range(BLOCK_SIZE))


class TarWriter:
    """Write a tar. Use it as a context manager, then call `shard` for the tar's manifest entry.

    The format is POSIX ustar with mtime 0, owner 0 and mode 0644. A pax header precedes a member whose name is not
    ASCII or is longer than 100 bytes. The file appears under its name only if the block succeeds. Every byte is hashed
    as it is written, so `shard` does not read the file again.

    Args:
        path: The tar to write.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._names: set[str] = set()
        self._sources = DescriptorCache()
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
        """Open the file for the block, then end the archive."""
        with self._sources, atomic_open(self.path) as file:
            yield file
            self._write(_END_OF_ARCHIVE)
            self._flush()
        self._is_finished = True

    def add(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Append a member with the content `data`.

        Raises:
            DataError: If `name` is absolute, goes upward, holds control characters or is taken, or if `data` is too
                large.
        """
        (header,) = self._headers([name], [len(data)])
        self._write(header)
        self._write(data)
        self._write(_PADDING[-len(data) % BLOCK_SIZE])

    def copy(self, source: Path, members: Sequence[Member]) -> None:
        """Append members of another tar, byte for byte.

        Members that follow each other in the source, as the members of a sample do, are copied with one read.

        Args:
            source: The other tar. It may stay open until this one is finished.
            members: The names of the new members, and where their content is in the source.

        Raises:
            DataError: If `add` would refuse a name or a size, or if `source` cannot be read or ends inside a member.
        """
        descriptor = self._sources.descriptor(source)
        headers = self._headers([member.name for member in members], [member.size for member in members])
        for run in _runs(members, headers):
            first, last = members[run.start], members[run.stop - 1]
            # Write the first header, then read the whole run after it, with the source's own headers in between.
            self._write(headers[run.start])
            length = last.offset + last.size - first.offset
            if len(run) > 1 and length >= _BUFFER_BYTES - self._num_buffered:
                self._flush()  # the run must stay in the buffer until its headers are replaced
            shift = self._num_buffered - first.offset
            self._read(descriptor, first, length)
            # Replace the source's padding and header between two members by ours, which have the same length.
            for previous, index in pairwise(run):
                begin = members[previous].offset + members[previous].size
                padding = _PADDING[-members[previous].size % BLOCK_SIZE]
                self._buffer[shift + begin : shift + members[index].offset] = padding + headers[index]
            self._write(_PADDING[-last.size % BLOCK_SIZE])

    def shard(self, num_samples: int, relative_to: Path | str) -> Shard:
        """Return the manifest entry of the finished tar.

        Args:
            num_samples: Number of samples in it.
            relative_to: The dataset's directory.

        Raises:
            UsageError: If the `with` block has not ended, or has failed.
        """
        if not self._is_finished:
            raise UsageError(f"{self.path} is not finished", hint="call shard() after the `with TarWriter(...)` block")
        return Shard(
            path=self.path.relative_to(relative_to).as_posix(),
            num_samples=num_samples,
            num_bytes=self._num_bytes,
            sha256=self._digest.hexdigest(),
        )

    def _headers(self, names: Sequence[str], sizes: Sequence[int]) -> list[bytes]:
        """Return the header of each new member, and register the names as taken.

        Raises:
            DataError: If a name is unsafe or taken, or a size is too large.
        """
        unsafe = unsafe_names(names)
        if unsafe:
            raise DataError(
                f"{self.path}: member name {min(unsafe)!r} must be relative, never upward, without control characters"
            )
        distinct = set(names)
        if len(distinct) < len(names) or not self._names.isdisjoint(distinct):
            repeated = next(name for name, count in Counter(names).items() if count > 1 or name in self._names)
            raise DataError(f"{self.path} already has a member {repeated!r}")
        if max(sizes, default=0) > _MAX_MEMBER_BYTES:
            size, name = max(zip(sizes, names, strict=True))
            raise DataError(f"{self.path}: member {name!r} has {size} bytes, at most {_MAX_MEMBER_BYTES} fit")
        self._names |= distinct
        if len(names) >= _MIN_BULK_HEADERS and max(map(len, names)) <= _NAME_BYTES and "".join(names).isascii():
            return _plain_headers(names, sizes)
        return [_header_blocks(name, size) for name, size in zip(names, sizes, strict=True)]

    def _read(self, descriptor: int, first: Member, length: int) -> None:
        """Append `length` bytes of a source, from the content of `first` on."""
        # The bytes pass through user space because they must be hashed. So the digest covers the bytes that were really
        # written.
        position, end = first.offset, first.offset + length
        while position < end:
            free = self._buffer[self._num_buffered : self._num_buffered + end - position]
            num_read = os.preadv(descriptor, [free], position)
            if not num_read:
                raise DataError(f"{self.path}: the source of {first.name!r} ends {end - position} bytes early")
            self._advance(num_read)
            position += num_read

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data` to the buffer, which is flushed whenever it is full."""
        start, size = 0, len(data)
        while start < size:
            num_fitting = min(size - start, _BUFFER_BYTES - self._num_buffered)
            self._buffer[self._num_buffered : self._num_buffered + num_fitting] = data[start : start + num_fitting]
            self._advance(num_fitting)
            start += num_fitting

    def _advance(self, num_bytes: int) -> None:
        """Count bytes that were put into the buffer, and flush it if it is full."""
        self._num_buffered += num_bytes
        if self._num_buffered == _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write and hash the buffer."""
        block = self._buffer[: self._num_buffered]
        self._file.write(block)
        self._digest.update(block)
        self._num_bytes += len(block)
        self._num_buffered = 0


_NAME_BYTES = 100
_SIZE_DIGITS = slice(124, 135)
_CHECKSUM = slice(148, 156)
_MIN_BULK_HEADERS = 16
_MODE_AND_OWNER = b"0000644\x000000000\x000000000\0"
_TIME = b"\x0000000000000\0"
_TAIL = (bytes(100) + b"ustar\x0000").ljust(355, b"\0")
_FIXED_SUM = sum(_TIME) + 8 * ord(" ") + sum(_TAIL)  # the checksum counts its own eight bytes as spaces


def _runs(members: Sequence[Member], headers: Sequence[bytes]) -> Iterator[range]:
    """Yield ranges of members that can be copied as one piece.

    Each member of a range follows the one before it in the source, at the distance at which it will follow in the new
    tar: one header block after the padding. A range fits into the buffer, unless it is a single member.
    """
    begin, num_members = 0, len(members)
    for index in range(1, num_members + 1):
        if index < num_members and len(headers[index]) == BLOCK_SIZE:
            (_, offset, size), member = members[index - 1], members[index]
            is_next = member.offset == offset + size + -size % BLOCK_SIZE + BLOCK_SIZE
            if is_next and member.offset + member.size - members[begin].offset < _BUFFER_BYTES:
                continue
        yield range(begin, index)
        begin = index


def _header_blocks(name: str, size: int) -> bytes:
    """Return the header of a member. A pax header precedes it if its name is long or not ASCII."""
    encoded = name.encode()
    if len(encoded) <= _NAME_BYTES and name.isascii():
        return _header(encoded, size, b"0")
    record = _pax_record(b"path", encoded)
    pax = _header(b"PaxHeader", len(record), b"x") + record + _PADDING[-len(record) % BLOCK_SIZE]
    return pax + _header(name.encode("ascii", "replace")[:_NAME_BYTES], size, b"0")


def _plain_headers(names: Sequence[str], sizes: Sequence[int]) -> list[bytes]:
    """Return what `_header_blocks` returns, for many members without pax headers, in half the time."""
    headers = np.tile(np.frombuffer(_header(b"", 0, b"0"), np.uint8), (len(names), 1))
    headers[:, :_NAME_BYTES] = np.array([name.encode() for name in names], f"S{_NAME_BYTES}")[:, None].view(np.uint8)
    headers[:, _SIZE_DIGITS] = _octal_digits(np.array(sizes), 11)
    headers[:, _CHECKSUM] = ord(" ")
    headers[:, _CHECKSUM.start : _CHECKSUM.start + 6] = _octal_digits(headers.sum(axis=1, dtype=np.int64), 6)
    headers[:, _CHECKSUM.start + 6] = 0
    blocks = headers.tobytes()
    return [blocks[start : start + BLOCK_SIZE] for start in range(0, len(blocks), BLOCK_SIZE)]


def _octal_digits(numbers: NDArray[np.int64], num_digits: int) -> NDArray[np.int64]:
    return (numbers[:, None] >> np.arange(3 * num_digits - 3, -1, -3) & 7) + ord("0")


def _header(name: bytes, size: int, kind: bytes) -> bytes:
    """Return a ustar header block (POSIX.1-2017, `pax`, table "ustar Header Block")."""
    start = b"%b%b%011o" % (name.ljust(_NAME_BYTES, b"\0"), _MODE_AND_OWNER, size)
    return b"%b%b%06o\0 %b%b" % (start, _TIME, _byte_sum(start) + kind[0] + _FIXED_SUM, kind, _TAIL)


def _byte_sum(data: bytes) -> int:
    """Return `sum(data)` of up to 256 bytes."""
    # The low half of Adler-32 is the sum plus one, modulo 65521 (RFC 1950), and is several times faster to compute.
    return (zlib.adler32(data) & 0xFFFF) - 1


def _pax_record(key: bytes, value: bytes) -> bytes:
    """Return `{length} {key}={value}` and a newline, where length counts the whole record with its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest
