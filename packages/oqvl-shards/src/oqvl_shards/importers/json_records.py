"""Find the JSON records of a file. Every worker then reads only its own, and no process holds all of them.

A *record* is one JSON value: a line of a JSONL file, an element of the array in a JSON file, or a `.json` member of a
tar. A found record takes 16 bytes of memory until it is read for conversion.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import DataError
from oqvl_shards.tar.index import scan_tar

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT_OBJECT = rb'\{(?:[^][{}"]++|' + _STRING + rb")*+\}"
_TO_COMMA_OR_BRACKET = re.compile(rb'(?:[^][{},"]++|' + _STRING + rb")*+([][{},])", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^][{}"]++|' + _STRING + rb"|" + _FLAT_OBJECT + rb")*+([][{}])", re.DOTALL)
"""Inside a record only brackets count. Objects without brackets in them, such as turns, are skipped in one match."""


class JsonRecord(NamedTuple):
    """One record.

    Args:
        number: 0-based number of the record in its file.
        data: Its bytes; None if it is too large to be read.
    """

    number: int
    data: bytes | None


@dataclass(frozen=True)
class JsonRecords:
    """Consecutive JSON records of one file.

    Args:
        path: The file.
        first: 0-based number of the first of these records in the file.
        spans: int64 [N, 2], the offset and the size of each record, in bytes.
    """

    path: Path
    first: int
    spans: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.spans)

    def chunks(self, size: int) -> list[JsonRecords]:
        """Split into runs of `size` records; the last one may be shorter."""
        return [
            JsonRecords(self.path, self.first + start, self.spans[start : start + size])
            for start in range(0, len(self), size)
        ]

    def read(self, max_bytes: int) -> Iterator[JsonRecord]:
        """Yield the records one by one. Those larger than `max_bytes` come without their bytes."""
        with self.path.open("rb") as file:
            for number, (offset, size) in enumerate(self.spans.tolist(), self.first):
                if size > max_bytes:
                    yield JsonRecord(number, None)
                else:
                    file.seek(offset)
                    yield JsonRecord(number, file.read(size))


@dataclass(frozen=True)
class JoinedRecords:
    """The records of several files, one file after another."""

    files: tuple[JsonRecords, ...]

    def __len__(self) -> int:
        return sum(map(len, self.files))

    def read(self, max_bytes: int) -> Iterator[JsonRecord]:
        """Yield the records one by one; see `JsonRecords.read`."""
        for file in self.files:
            yield from file.read(max_bytes)


def join_records(files: Sequence[JsonRecords], num_records: int) -> list[JoinedRecords]:
    """Join consecutive files until each group has at least `num_records` records; the last group may have fewer."""
    joined: list[JoinedRecords] = []
    waiting: list[JsonRecords] = []
    for number, file in enumerate(files, 1):
        waiting.append(file)
        if sum(map(len, waiting)) >= num_records or number == len(files):
            joined.append(JoinedRecords(tuple(waiting)))
            waiting = []
    return joined


def find_nested_records(path: Path, field: str) -> JsonRecords:
    """Find the elements of the array `field`, which must come first in the object that a JSON file holds.

    Raises:
        DataError: If the file cannot be read, does not begin with this array, or ends inside it.
    """
    begin = re.compile(rb'\s*\{\s*"' + re.escape(field.encode()) + rb'"\s*:\s*\[')
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            opening = begin.match(text)
            if opening is None:
                raise DataError(f"{path} does not begin with {{{field!r}: [", hint="check the layout of the file")
            spans = list(_array_spans(text, path, opening.end(), is_whole=False))
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise DataError(f"{path} cannot be read: {error}", hint="check the path") from error
    return JsonRecords(path, 0, np.array(spans, dtype=np.int64).reshape(-1, 2))


def find_records(path: Path) -> JsonRecords:
    """Find the records of a `.tar`, of a JSON file that holds one array, or of a JSONL file (one value per line).

    Raises:
        DataError: If the file cannot be read, is a damaged tar, or ends inside its array.
    """
    try:
        if path.suffix == ".tar":
            spans = _tar_spans(path)
        elif path.stat().st_size == 0:
            spans = []
        else:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                begins_array = text[: 1 << 12].lstrip().startswith(b"[")
                array_spans = _array_spans(text, path, text.find(b"[") + 1, is_whole=True)
                spans = list(array_spans if begins_array else _line_spans(text))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint="check the path") from error
    return JsonRecords(path, 0, np.array(spans, dtype=np.int64).reshape(-1, 2))


def _tar_spans(path: Path) -> list[tuple[int, int]]:
    index = scan_tar(path)
    if index.damage:
        raise DataError(f"{path}: {index.damage}", hint="fetch this file again, or take it out of the folder")
    return [(member.offset, member.size) for member in index.members if member.name.endswith(".json")]


def _line_spans(text: mmap.mmap) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        newline = text.find(b"\n", start)
        end = len(text) if newline < 0 else newline
        if text[start:end].strip():
            yield start, end - start
        start = end + 1


def _array_spans(text: mmap.mmap, path: Path, start: int, *, is_whole: bool) -> Iterator[tuple[int, int]]:
    """Yield the offset and the size of every element of a JSON array.

    Args:
        text: The file.
        path: Its path, for errors.
        start: Where the array's first element begins, right after its bracket.
        is_whole: Whether the file must end after the array.

    Raises:
        DataError: If the file ends inside the array, or if it continues after the array and `is_whole` is set.
    """
    position = start
    depth = 1  # brackets that are open at `position`
    while depth > 0:
        # Go to the next bracket or, between the elements, to the next comma. Strings are skipped as a whole.
        token = (_TO_COMMA_OR_BRACKET if depth == 1 else _TO_BRACKET).match(text, position)
        if token is None:
            raise DataError(f"{path} ends inside its JSON array", hint="the file was cut: fetch it again")
        symbol, position = token[1], token.end()
        if symbol in (b"[", b"{"):
            depth += 1
        elif symbol != b",":
            depth -= 1
        # An element ends at a comma between elements, and at the end of the array unless the array is empty.
        if symbol == b"," or (depth == 0 and text[start : position - 1].strip()):
            yield start, position - 1 - start
            start = position
    if is_whole and text[position : position + (1 << 12)].strip():
        raise DataError(f"{path} continues after its JSON array", hint="give one array, or one record per line")
