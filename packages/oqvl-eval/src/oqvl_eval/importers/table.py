"""Published benchmark tables: parquet with a picture column, or TSV with base64 pictures.

A picture cell is a struct of bytes and path (Hugging Face), raw bytes, base64 text, or a short number: the `index` of
the row whose picture is meant (MMBench's rotations). Text is read at once, pictures one row group at a time when they
are asked for. Each picture is named by its content, so rows that show the same one share it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from oqvl_shards.errors import DataError
from oqvl_shards.natural_order import natural_key

_PICTURE_COLUMN = "image"
_LONGEST_INDEX = 20  # characters; the smallest base64 picture is longer
_TSV_BLOCK_BYTES = 256 << 20  # a row must fit, and its base64 picture takes most of it


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        where: The row's place, for messages.
        values: Its columns less the picture.
        picture: The name of its picture in the table's `images`.
    """

    where: str
    values: Mapping[str, Any]
    picture: str

    def text(self, column: str) -> str:
        """Return a column as text without white space around it; empty when it is null."""
        value = self.values.get(column)
        return "" if value is None else str(value).strip()


class Table:
    """The rows of a published benchmark and their pictures.

    Args:
        source: A parquet or TSV file, or a folder of parquet files.
        columns: The columns that must be there besides `image`.

    Raises:
        DataError: When there is no such file, a column is missing, or a row has no picture.
    """

    def __init__(self, source: Path, columns: Sequence[str]) -> None:
        self._chunks = _open_chunks(source)
        self.images = PictureCells(self._chunks)
        self.rows: list[Row] = []
        for number, chunk in enumerate(self._chunks):
            missing = [name for name in (*columns, _PICTURE_COLUMN) if name not in chunk.columns]
            if missing:
                raise DataError(
                    f"{chunk.where} lacks the columns {missing}; it has {chunk.columns}",
                    hint="is this the file of another benchmark, or of another of its publishers?",
                )
            self.rows += [
                Row(f"{chunk.where}, row {index}", values, self.images.add(number, index))
                for index, values in enumerate(chunk.values())
            ]


class PictureCells(Mapping[str, bytes]):
    """The pictures of a table by their names, read when they are asked for.

    Args:
        chunks: The table's parts.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._places: dict[str, tuple[int, int]] = {}
        self._loaded: tuple[int, list[Any]] | None = None
        self._by_index: dict[str, tuple[int, int]] | None = None

    def add(self, chunk: int, row: int) -> str:
        """Take up the picture of a row and return its name."""
        place = self._resolve((chunk, row))
        name = hashlib.sha256(self._read(place)).hexdigest()[:32]
        self._places.setdefault(name, place)
        return name

    def __getitem__(self, name: str) -> bytes:
        return self._read(self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _cell(self, place: tuple[int, int]) -> Any:
        chunk, row = place
        if self._loaded is None or self._loaded[0] != chunk:
            self._loaded = (chunk, self._chunks[chunk].pictures())
        return self._loaded[1][row]

    def _resolve(self, place: tuple[int, int]) -> tuple[int, int]:
        """Follow a cell that names another row's index."""
        cell = self._cell(place)
        if not isinstance(cell, str) or len(cell) > _LONGEST_INDEX:
            return place
        if self._by_index is None:
            self._by_index = {
                str(values.get("index")): (number, row)
                for number, chunk in enumerate(self._chunks)
                for row, values in enumerate(chunk.values())
            }
        other = self._by_index.get(cell.strip())
        if other is None or other == place:
            raise DataError(f"{self._where(place)}: picture {cell!r} is neither base64 nor another row's index")
        return other

    def _read(self, place: tuple[int, int]) -> bytes:
        cell = self._cell(place)
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(data, str):
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise DataError(f"{self._where(place)}: the picture is not base64: {error}") from error
        if not data:
            raise DataError(f"{self._where(place)} has no picture", hint="parquet files must hold the picture's bytes")
        return data

    def _where(self, place: tuple[int, int]) -> str:
        return f"{self._chunks[place[0]].where}, row {place[1]}"


class Chunk(ABC):
    """Part of a table: a row group of a parquet file, or a TSV file.

    Args:
        where: The part's name, for messages.
        columns: Its columns.
    """

    def __init__(self, where: str, columns: list[str]) -> None:
        self.where = where
        self.columns = columns

    def values(self) -> list[dict[str, Any]]:
        """Return the rows less the picture column."""
        return self._read([name for name in self.columns if name != _PICTURE_COLUMN]).to_pylist()

    def pictures(self) -> list[Any]:
        """Return the cells of the picture column."""
        return self._read([_PICTURE_COLUMN])[_PICTURE_COLUMN].to_pylist()

    @abstractmethod
    def _read(self, columns: list[str]) -> pa.Table: ...


class _RowGroup(Chunk):
    def __init__(self, path: Path, file: pq.ParquetFile, group: int) -> None:
        super().__init__(f"{path.name}, row group {group}", file.schema_arrow.names)
        self._file = file
        self._group = group

    def _read(self, columns: list[str]) -> pa.Table:
        return self._file.read_row_group(self._group, columns=columns)


class _Tsv(Chunk):
    def __init__(self, path: Path, table: pa.Table) -> None:
        super().__init__(path.name, table.column_names)
        self._table = table

    def _read(self, columns: list[str]) -> pa.Table:
        return self._table.select(columns)


def _open_chunks(source: Path) -> list[Chunk]:
    paths = sorted(source.glob("*.parquet"), key=lambda path: natural_key(path.name)) if source.is_dir() else [source]
    if not paths:
        raise DataError(f"{source} holds no parquet file")
    try:
        if source.suffix.lower() == ".tsv":
            return [_Tsv(source, _read_tsv(source))]
        files = [(path, pq.ParquetFile(path)) for path in paths]
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{source} cannot be read: {error}", hint="expected parquet or .tsv") from error
    return [_RowGroup(path, file, group) for path, file in files for group in range(file.num_row_groups)]


def _read_tsv(path: Path) -> pa.Table:
    """Read every column as text: a column of numbers with gaps would otherwise come back as floats."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\r\n").split("\t")
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_TSV_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
