"""Index a tar by its headers alone: reads are small, no content is touched, and damage is named instead of hidden.

The formats are POSIX ustar and pax (POSIX.1-2017, utility `pax`) and GNU tar's long names (GNU tar manual, "Basic Tar
Format"). Only regular files become members. Links, devices, FIFOs and directories are skipped, so nothing in an archive
can point outside it.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import DataError

BLOCK_SIZE = 512
"""Bytes in a header. The content of a member is padded to a multiple of it."""

WINDOW_BYTES = 4096
"""Bytes that one read takes from a header on. They often include the small members after it: caption, metadata."""

MAX_EXTENDED_HEADER_BYTES = 1 << 20
"""A larger pax header or long name counts as damage. Real ones hold a few hundred bytes."""

_ZERO_BLOCK = bytes(BLOCK_SIZE)
_REGULAR_TYPES = b"0\x007"  # regular file, the same before POSIX, contiguous file
_EMPTY_TYPES = b"123456"  # hard link, symbolic link, devices, directory, FIFO: no content follows
_UNSAFE_CHARACTERS = re.compile("[\x00-\x1f\x7f\\\\\ud800-\udfff]")
_SIZE_AND_KIND = struct.Struct("124x 11s c 20x c 355x")  # the digits of the size, the byte that ends them, the type
_OCTAL_WEIGHTS = 8 ** np.arange(5, -1, -1)
_NO_FILE = -1  # stands for the size of a header that is not a file's
_BATCH_WINDOWS = 64  # windows whose headers are verified together


class Member(NamedTuple):
    """One regular file in a tar.

    Args:
        name: Its name as stored. Never use it as a path to open.
        offset: Where its content begins, in bytes from the start of the tar.
        size: Length of its content, in bytes.
    """

    name: str
    offset: int
    size: int


_new_member = partial(tuple.__new__, Member)  # takes half the time of Member(...)


class TarDamage(StrEnum):
    """The reasons why the scan of a tar stops early."""

    TRUNCATED_MEMBER = "truncated_member"
    """The file ends inside the content of a member, or inside an extended header."""
    BAD_HEADER = "bad_header"
    """A header has a wrong checksum, or a field that cannot be read."""
    MISSING_END = "missing_end"
    """The file ends where a header or the end-of-archive block should be: it was cut between two members."""
    DATA_AFTER_END = "data_after_end"
    """Bytes other than zero follow the end-of-archive block: part of the file was zeroed, or archives were joined."""


@dataclass(frozen=True)
class TarIndex:
    """The whole members of a tar.

    Args:
        path: The tar.
        members: The regular files whose header and content are whole, in order.
        damage: Why the scan stopped early; None if the tar has a proper end.
        end: Where the scan stopped, in bytes from the start: at the end-of-archive block, or at the damage.
        cut_name: Name of the member whose content is cut; None if the damage is elsewhere.
    """

    path: Path
    members: tuple[Member, ...]
    damage: TarDamage | None
    end: int
    cut_name: str | None = None


def scan_tar(path: Path | str) -> TarIndex:
    """Index the tar at `path`.

    Damage inside the tar raises nothing: the index holds the members before the damage, and names it.

    Raises:
        DataError: If there is no file at `path`, or it cannot be read.
    """
    path = Path(path)
    descriptor = open_shard_file(path)
    try:
        return scan_descriptor(descriptor, path)
    finally:
        os.close(descriptor)


def open_shard_file(path: Path) -> int:
    """Open the file at `path` for reading and return its descriptor.

    Raises:
        DataError: If there is no file at `path`, or it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise DataError(f"shard {path} cannot be opened: {error.strerror}", hint="check the path") from error


def scan_descriptor(descriptor: int, path: Path) -> TarIndex:
    """Index the tar that is open as `descriptor`; see `scan_tar`. `path` only names it in errors."""
    try:
        return _Scan(descriptor, path, os.fstat(descriptor).st_size).run()
    except OSError as error:
        raise DataError(f"shard {path} cannot be read: {error.strerror}") from error


def is_safe_name(name: str) -> bool:
    """Return whether `name` can name a file below a directory.

    It must be relative and valid Unicode. It must not go upward, end in a slash, or hold a control character or a
    backslash.
    """
    goes_upward = ".." in name and ".." in name.split("/")
    return bool(name) and "/" not in (name[0], name[-1]) and not goes_upward and not _UNSAFE_CHARACTERS.search(name)


def unsafe_names(names: Sequence[str]) -> frozenset[str]:
    """Return the names that are not safe; see `is_safe_name`."""
    joined = "/".join(("", *names, ""))
    # All names are checked together. An empty name, or one that begins or ends with a slash, shows up as "//".
    if joined.isprintable() and not any(sign in joined for sign in ("//", "/../", "\\")):
        return frozenset()
    return frozenset(name for name in names if not is_safe_name(name))


class _DamageError(Exception):
    """Ends a scan: the tar is damaged at the current position."""

    def __init__(self, damage: TarDamage, cut_name: str | None = None) -> None:
        super().__init__(damage)
        self.damage = damage
        self.cut_name = cut_name


class _Scan:
    """One pass over the headers of a tar.

    The scan alternates between two steps:

    1. `_walk` goes from header to header, by the sizes that they state, until its buffer is full.
    2. `_verify` checks the checksums and decodes the names of all these headers together, which numpy does in a
       fraction of the time.

    So a wrong checksum is noticed late. Everything after it is then dropped: the members, and any damage that the walk
    has found there.
    """

    def __init__(self, descriptor: int, path: Path, num_bytes: int) -> None:
        self.descriptor = descriptor
        self.path = path
        self.num_bytes = num_bytes
        self.position = 0
        self.members: list[Member] = []
        # The values that the last extended headers gave for the next file.
        self.is_extended = False
        self.next_name: str | None = None
        self.next_size: int | None = None
        # The headers that are not verified yet. The three lists have one entry per header: its block in the buffer, its
        # position in the tar, and the size of the file, or `_NO_FILE`. The names that an extended header gives are kept
        # by the index of the header they belong to.
        self.buffer = bytearray(_BATCH_WINDOWS * WINDOW_BYTES)
        self.blocks: list[int] = []
        self.positions: list[int] = []
        self.sizes: list[int] = []
        self.long_names: dict[int, str] = {}

    def run(self) -> TarIndex:
        """Scan to the end of the archive, or to the first damage."""
        damage = cut_name = None
        try:
            try:
                while self._walk():
                    self._verify()
            finally:
                self._verify()  # also after damage: a wrong checksum before it takes precedence
        except _DamageError as error:
            damage, cut_name = error.damage, error.cut_name
        return TarIndex(self.path, tuple(self.members), damage, self.position, cut_name)

    def _walk(self) -> bool:
        """Go from header to header until the buffer is full or the archive ends.

        Returns:
            Whether more headers may follow.

        Raises:
            _DamageError: If the walk cannot continue.
        """
        # The steps that nearly every header takes are inlined: calls would add a third to the time of opening a shard.
        unpack, buffer, position, num_bytes = _SIZE_AND_KIND.unpack_from, self.buffer, self.position, self.num_bytes
        add_block, add_position, add_size = self.blocks.append, self.positions.append, self.sizes.append
        free = window_end = 0  # in the buffer: where the next window goes, and where the current one ends
        shift = 0  # the byte at `position` in the tar is at `position - shift` in the buffer
        view = memoryview(buffer)
        try:
            while True:
                # Have the header in the buffer. If the current window does not hold it, read the next one.
                start = position - shift
                if start + BLOCK_SIZE > window_end:
                    if free == len(buffer):
                        return True
                    start, free = free, free + WINDOW_BYTES
                    shift = position - start
                    window_end = start + os.preadv(self.descriptor, [view[start:free]], position)
                    if start + BLOCK_SIZE > window_end:
                        raise _DamageError(TarDamage.MISSING_END)
                # Read how much content follows. A block of zeros has no size: it ends the archive.
                digits, digits_end, kind = unpack(buffer, start)
                if digits_end == b"\0" and digits.isdigit():
                    try:
                        size = int(digits, 8)
                    except ValueError:
                        raise _DamageError(TarDamage.BAD_HEADER) from None
                elif view[start : start + BLOCK_SIZE] == _ZERO_BLOCK:
                    self._check_tail(position + BLOCK_SIZE)
                    return False
                else:
                    size = _number(bytes(view[start + 124 : start + 136]))
                # Keep the header for `_verify`. `add_size` follows below: every header gets all three entries.
                add_block(start // BLOCK_SIZE)
                add_position(position)
                # Handle the rare headers: extended ones, the file after one, and anything but a regular file.
                is_file = True
                if kind != b"0" or self.is_extended:
                    if kind in b"Lxg":
                        add_size(_NO_FILE)
                        content = start + BLOCK_SIZE
                        at_hand = bytes(view[content : content + size]) if content + size <= window_end else None
                        position = self._read_extended(position + BLOCK_SIZE, size, kind, at_hand)
                        continue
                    is_file, size = self._settle_kind(kind, size)
                # Go on to the next header, which follows the content and its padding.
                end = position + BLOCK_SIZE + size
                if end > num_bytes:
                    raise _DamageError(TarDamage.TRUNCATED_MEMBER, self._last_name() if is_file else None)
                add_size(size if is_file else _NO_FILE)
                position = (end + BLOCK_SIZE - 1) // BLOCK_SIZE * BLOCK_SIZE
        finally:
            self.position = position

    def _settle_kind(self, kind: bytes, size: int) -> tuple[bool, int]:
        """Return whether the last header is a regular file's, and how many bytes of content follow it.

        This also consumes the values of the extended headers for this file.
        """
        if self.next_name is not None:
            self.long_names[len(self.blocks) - 1] = self.next_name
        if self.next_size is not None:
            size = self.next_size
        self.is_extended, self.next_name, self.next_size = False, None, None
        if kind == b"S":
            raise _DamageError(TarDamage.BAD_HEADER)  # a GNU sparse file, whose header may continue in further blocks
        if kind in _EMPTY_TYPES or (kind == b"\0" and self._last_name().endswith("/")):  # the latter: an old directory
            return False, 0
        return kind in _REGULAR_TYPES, size

    def _last_name(self) -> str:
        """Return the name of the member that the last header describes."""
        begin = self.blocks[-1] * BLOCK_SIZE
        name = self.long_names.get(len(self.blocks) - 1)
        return name or _stored_name(bytes(self.buffer[begin : begin + BLOCK_SIZE]))

    def _read_extended(self, position: int, size: int, kind: bytes, content: bytes | None) -> int:
        """Keep the values that an extended header gives for the next file.

        Args:
            position: Where the header's content is in the tar.
            size: Bytes of the content.
            kind: `L` for a GNU long name, `x` for a pax header, `g` for a global pax header.
            content: The content, if it has been read already.

        Returns:
            The position of the next header.
        """
        if size > MAX_EXTENDED_HEADER_BYTES:
            raise _DamageError(TarDamage.BAD_HEADER)
        if content is None:
            content = os.pread(self.descriptor, size, position)
        if len(content) < size:
            raise _DamageError(TarDamage.TRUNCATED_MEMBER)
        self.is_extended = True
        if kind == b"L":
            self.next_name = _decode(content.rstrip(b"\0"))
        else:
            records = _parse_pax(content)
            path, stored_size = records.get(b"path"), records.get(b"size")
            if kind == b"g" and (path, stored_size) != (None, None):
                raise _DamageError(TarDamage.BAD_HEADER)  # all members cannot have the same name or size
            if path is not None:
                self.next_name = _decode(path)
            if stored_size is not None:
                self.next_size = _decimal(stored_size)
        return position + -(-size // BLOCK_SIZE) * BLOCK_SIZE

    def _check_tail(self, position: int) -> None:
        """Check that only zeros follow `position`."""
        while block := os.pread(self.descriptor, 1 << 20, position):
            if block.count(0) != len(block):
                raise _DamageError(TarDamage.DATA_AFTER_END)
            position += len(block)

    def _verify(self) -> None:
        """Make members of the headers that the walk has passed, up to the first wrong checksum.

        Raises:
            _DamageError: If there is a wrong checksum.
        """
        blocks, positions, sizes, long_names = self.blocks, self.positions, self.sizes, self.long_names
        self.blocks, self.positions, self.sizes, self.long_names = [], [], [], {}
        if not blocks:
            return
        blocks_N512 = np.frombuffer(self.buffer, np.uint8).reshape(-1, BLOCK_SIZE)[blocks]
        num_good = _count_right_checksums(blocks_N512)
        names = _stored_names(blocks_N512)
        for index, name in long_names.items():
            names[index] = name
        # The lists may be longer than `num_good`; `sizes` lacks an entry if the walk ended at its last header.
        headers = zip(names[:num_good], positions, sizes, strict=False)
        self.members += [
            _new_member((name, position + BLOCK_SIZE, size)) for name, position, size in headers if size != _NO_FILE
        ]
        if num_good < len(blocks):
            self.position = positions[num_good]
            raise _DamageError(TarDamage.BAD_HEADER)


def _count_right_checksums(blocks_N512: NDArray[np.uint8]) -> int:
    """Return how many headers come before the first one whose checksum is wrong.

    The checksum is the sum of the block's bytes, where the eight bytes of the checksum itself count as spaces.
    """
    fields_N8 = blocks_N512[:, 148:156]
    sums_N = blocks_N512.sum(axis=1, dtype=np.uint32) - fields_N8.sum(axis=1, dtype=np.uint32) + 8 * ord(" ")
    # Nearly all writers store six octal digits, a NUL and a space. These are compared in one go.
    digits_N6 = fields_N8[:, :6] - ord("0")  # a byte below "0" wraps around to far above 7
    is_usual_N = (digits_N6 < 8).all(axis=1) & (fields_N8[:, 6] == 0) & (fields_N8[:, 7] == ord(" "))
    differs_N = ~is_usual_N | (digits_N6 @ _OCTAL_WEIGHTS != sums_N)
    # The remaining checksums are either written in another way, or wrong.
    for row in np.flatnonzero(differs_N).tolist():
        try:
            is_right = _number(fields_N8[row].tobytes()) == sums_N[row]
        except _DamageError:
            is_right = False
        if not is_right:
            return row
    return len(blocks_N512)


def _stored_names(blocks_N512: NDArray[np.uint8]) -> list[str]:
    """Return the name in each header block."""
    names = np.ascontiguousarray(blocks_N512[:, :100]).view("S100")[:, 0].tolist()
    joined = b"\0".join(names)
    if blocks_N512[:, 345].any() or joined.count(0) >= len(names):
        return [_stored_name(block.tobytes()) for block in blocks_N512]
    return _decode(joined).split("\0")  # decoding them together is twice as fast as one by one


def _stored_name(block: bytes) -> str:
    """Return the name in one header block."""
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    return _decode(name)


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Read a numeric header field: octal digits followed by spaces or NULs, or GNU's base-256 from 8 GiB on."""
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


def _parse_pax(content: bytes) -> dict[bytes, bytes]:
    """Parse pax records. Each is `{length} {key}={value}` and a newline; the length counts the whole record."""
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
