"""Index a tar by its headers alone: small reads, no content touched, damage named instead of hidden.

The formats are POSIX ustar and pax (POSIX.1-2017, utility `pax`) and GNU tar's long names (GNU tar manual, "Basic Tar
Format"). Only regular files become members: links, devices, FIFOs and directories are passed over, so nothing in an
archive can point outside it.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from oqvl_shards.errors import DataError

BLOCK_SIZE = 512
"""Bytes of a header, and what the content of a member is padded to."""

WINDOW_BYTES = 4096
"""What is read at a header: the small members after it, such as caption and metadata, are often there, too."""

MAX_EXTENDED_HEADER_BYTES = 1 << 20
"""A pax header or long name above this is taken for damage; real ones hold some hundred bytes."""

_ZERO_BLOCK = bytes(BLOCK_SIZE)
_REGULAR_TYPES = b"0\x007"  # regular file, the same before POSIX, contiguous file
_EMPTY_TYPES = b"123456"  # hard link, symbolic link, devices, directory, FIFO: no content follows
_UNSAFE_CHARACTERS = re.compile("[\x00-\x1f\x7f\\\\\ud800-\udfff]")


class Member(NamedTuple):
    """One regular file in a tar.

    Args:
        name: Its name as stored; never a path to open.
        offset: Where its content begins, in bytes from the start of the tar.
        size: Bytes of its content.
    """

    name: str
    offset: int
    size: int


class TarDamage(StrEnum):
    """Why the scan of a tar stopped before a proper end."""

    TRUNCATED_MEMBER = "truncated_member"
    """The file ends inside the content of a member, or inside an extended header."""
    BAD_HEADER = "bad_header"
    """A header has a wrong checksum, or a field that cannot be read."""
    MISSING_END = "missing_end"
    """The file ends where a header or the end-of-archive block belongs: it was cut between members."""
    DATA_AFTER_END = "data_after_end"
    """Something other than zeros follows the end-of-archive block: a zeroed stretch, or joined archives."""


@dataclass(frozen=True)
class TarIndex:
    """The members of a tar that are whole.

    Args:
        path: The tar.
        members: Regular files, in order, whose header and content are whole.
        damage: Why the scan stopped early; None when the tar has a proper end.
        end: Where the scan stopped, in bytes from the start: the end-of-archive block, or the damage.
        cut_name: Name of the member whose content the file lacks, when the damage lies in one.
    """

    path: Path
    members: tuple[Member, ...]
    damage: TarDamage | None
    end: int
    cut_name: str | None = None


def scan_tar(path: Path | str) -> TarIndex:
    """Index the tar at `path`.

    Damage inside the tar does not raise: the index then holds the members before it and names it.

    Raises:
        DataError: When there is no file at `path`, or it cannot be read.
    """
    path = Path(path)
    descriptor = open_shard_file(path)
    try:
        return scan_descriptor(descriptor, path)
    finally:
        os.close(descriptor)


def open_shard_file(path: Path) -> int:
    """Open `path` for reading and return the descriptor.

    Raises:
        DataError: When there is no file at `path`, or it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise DataError(f"shard {path} cannot be opened: {error.strerror}", hint="check the path") from error


def scan_descriptor(descriptor: int, path: Path) -> TarIndex:
    """Index the tar behind an open file descriptor; `path` only names it. See `scan_tar`."""
    try:
        return _Scan(descriptor, path, os.fstat(descriptor).st_size).run()
    except OSError as error:
        raise DataError(f"shard {path} cannot be read: {error.strerror}") from error


def is_safe_name(name: str) -> bool:
    """Whether `name` is relative, never goes upward, is valid Unicode, and holds no control character or backslash."""
    goes_upward = ".." in name and ".." in name.split("/")
    return bool(name) and name[0] != "/" and not goes_upward and not _UNSAFE_CHARACTERS.search(name)


def header_checksum(header: bytes) -> int:
    """Return the checksum of a header block: the sum of its bytes, the checksum's own field read as eight spaces."""
    # The low half of Adler-32 is one more than the sum of the bytes modulo 65521 (RFC 1950), which 512 ASCII bytes stay
    # below, and it takes a tenth of the time of `sum`.
    if not header.isascii():
        return sum(header[:148]) + sum(b"        ") + sum(header[156:])
    return (zlib.adler32(header[156:], zlib.adler32(header[:148])) & 0xFFFF) - 1 + 256


class _DamageError(Exception):
    """Ends a scan."""

    def __init__(self, damage: TarDamage, cut_name: str | None = None) -> None:
        super().__init__(damage)
        self.damage = damage
        self.cut_name = cut_name


class _Scan:
    """One pass over the headers of a tar."""

    def __init__(self, descriptor: int, path: Path, num_bytes: int) -> None:
        self.descriptor = descriptor
        self.path = path
        self.num_bytes = num_bytes
        self.position = 0
        self.window = b""
        self.window_start = 0
        self.members: list[Member] = []

    def run(self) -> TarIndex:
        damage = cut_name = None
        try:
            self._scan_members()
        except _DamageError as error:
            damage, cut_name = error.damage, error.cut_name
        return TarIndex(self.path, tuple(self.members), damage, self.position, cut_name)

    def _scan_members(self) -> None:
        long_name: str | None = None
        long_size: int | None = None
        while (header := self._read_header()) is not None:
            name, size, kind = header[:100], _number(header[124:136]), header[156:157]
            if kind == b"L":
                long_name = self._read_extended(size).rstrip(b"\0").decode("utf-8", "surrogateescape")
                continue
            if kind in (b"x", b"g"):
                records = _parse_pax(self._read_extended(size))
                path, stored_size = records.get(b"path"), records.get(b"size")
                if kind == b"g" and (path, stored_size) != (None, None):
                    raise _DamageError(TarDamage.BAD_HEADER)  # one name or size for all members makes no sense
                if path is not None:
                    long_name = path.decode("utf-8", "surrogateescape")
                if stored_size is not None:
                    long_size = _decimal(stored_size)
                continue
            if long_name is None:
                long_name = _header_name(name, header)
            self._add(long_name, size if long_size is None else long_size, kind)
            long_name = long_size = None

    def _add(self, name: str, size: int, kind: bytes) -> None:
        content = self.position + BLOCK_SIZE
        is_regular = kind in _REGULAR_TYPES and not (kind == b"\0" and name.endswith("/"))
        if not is_regular and (kind in _EMPTY_TYPES or kind == b"\0"):  # the latter is an old directory
            self.position = content
            return
        if kind == b"S":
            raise _DamageError(TarDamage.BAD_HEADER)  # GNU sparse files, whose headers do not have one length
        if content + size > self.num_bytes:
            raise _DamageError(TarDamage.TRUNCATED_MEMBER, name if is_regular else None)
        if is_regular:
            self.members.append(Member(name, content, size))
        self.position = content + _padded(size)

    def _read_header(self) -> bytes | None:
        """Return the next header, checksum verified; None at the end of the archive."""
        offset = self.position - self.window_start
        header = self.window[offset : offset + BLOCK_SIZE]
        if len(header) < BLOCK_SIZE:
            self.window_start = self.position
            self.window = os.pread(self.descriptor, WINDOW_BYTES, self.position)
            header = self.window[:BLOCK_SIZE]
        if len(header) < BLOCK_SIZE:
            raise _DamageError(TarDamage.MISSING_END)
        if header == _ZERO_BLOCK:
            self._check_tail()
            return None
        checksum = header_checksum(header)
        if header[148:156] != b"%06o\0 " % checksum and checksum != _number(header[148:156]):
            raise _DamageError(TarDamage.BAD_HEADER)
        return header

    def _read_extended(self, size: int) -> bytes:
        """Return the content of the extended header at the current position, and step over it."""
        if size > MAX_EXTENDED_HEADER_BYTES:
            raise _DamageError(TarDamage.BAD_HEADER)
        content = os.pread(self.descriptor, size, self.position + BLOCK_SIZE)
        if len(content) < size:
            raise _DamageError(TarDamage.TRUNCATED_MEMBER)
        self.position += BLOCK_SIZE + _padded(size)
        return content

    def _check_tail(self) -> None:
        position = self.position + BLOCK_SIZE
        while block := os.pread(self.descriptor, 1 << 20, position):
            if block.count(0) != len(block):
                raise _DamageError(TarDamage.DATA_AFTER_END)
            position += len(block)


def _padded(size: int) -> int:
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE


def _number(field: bytes) -> int:
    """Read a numeric header field: octal digits ended by spaces or NULs, or GNU's base-256 above eight gibibytes."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[-1] in b" \0" and field[:-1].isdigit():
        return _octal(field[:-1])
    digits = field.strip(b" \0")
    if not digits:
        return 0
    return _octal(digits) if digits.isdigit() else _refuse()


def _octal(digits: bytes) -> int:
    try:
        return int(digits, 8)
    except ValueError:
        return _refuse()


def _decimal(field: bytes) -> int:
    return int(field) if field.isdigit() and len(field) < 20 else _refuse()


def _refuse() -> int:
    raise _DamageError(TarDamage.BAD_HEADER)


def _header_name(name: bytes, header: bytes) -> str:
    name = name.split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return name.decode("utf-8", "surrogateescape")


def _parse_pax(content: bytes) -> dict[bytes, bytes]:
    """Parse pax records, each "{length} {key}={value}" and a newline, where length counts the whole record."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content) and content[position]:
        space = content.find(b" ", position, position + 20)
        length = _decimal(content[position:space]) if space > 0 else _refuse()
        record = content[space + 1 : position + length]
        key, separator, value = record.partition(b"=")
        if not separator or not value.endswith(b"\n") or position + length > len(content):
            _refuse()
        records[key] = value[:-1]
        position += length
    return records
