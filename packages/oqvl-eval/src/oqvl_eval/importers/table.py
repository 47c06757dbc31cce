"""Read published benchmark tables: parquet with a picture column, or TSV with base64 pictures.

A cell of the picture column is one of these:

- a struct of bytes and path, as in Hugging Face files;
- raw bytes;
- base64 text;
- the `index` of the row whose picture it shares, as in the rotations of MMBench.

Text is read at once. Pictures are read one row group at a time, when they are looked up. A picture's name is a digest
of its content, so rows that show the same picture share it.
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
_LONGEST_INDEX = 20  # in characters; a picture in base64 is always longer
_TSV_BLOCK_BYTES = 256 << 20  # a row must fit into a block, and its base64 picture takes most of the row


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        where: The row's file and number (from 0), for messages.
        values: The row's values by column, without the picture.
        picture: The name of its picture in the table's `images`.
    """

    where: str
    values: Mapping[str, Any]
    picture: str

    def text(self, column: str) -> str:
        """Return a value as text without surrounding white space. A null, or an unknown column, is empty text."""
        value = self.values.get(column)
        return "" if value is None else str(value).strip()


class Table:
    """The rows of a published benchmark and their pictures.

    Args:
        source: A parquet or TSV file, or a folder of parquet files.
        columns: The columns that the table must have besides `image`.

    Raises:
        DataError: If the source cannot be read, a column is missing, or a row has no picture.
    """

    def __init__(self, source: Path, columns: Sequence[str]) -> None:
        chunks = _open_chunks(source)
        pictures = _PictureCells(chunks)
        self.images: Mapping[str, bytes] = pictures
        """The table's pictures by name; each is read when it is looked up."""
        self.rows: list[Row] = []
        """The table's rows, in the order of the files."""
        for number, chunk in enumerate(chunks):
            missing = [name for name in (*columns, _PICTURE_COLUMN) if name not in chunk.columns]
            if missing:
                raise DataError(
                    f"{chunk.where} lacks the columns {missing}; it has {chunk.columns}",
                    hint="check that the file is of this benchmark, and of the publisher that this format is made for",
                )
            self.rows += [
                Row(f"{chunk.where}, row {index}", values, pictures.add(number, index))
                for index, values in enumerate(chunk.values())
            ]


class _PictureCells(Mapping[str, bytes]):
    """The pictures of a table by name. Each is read when it is looked up.

    Args:
        chunks: The chunks of the table.
    """

    def __init__(self, chunks: Sequence[_Chunk]) -> None:
        self._chunks = chunks
        self._places: dict[str, tuple[int, int]] = {}
        self._loaded: tuple[int, list[Any]] | None = None
        self._by_index: dict[str, tuple[int, int]] | None = None

    def add(self, chunk: int, row: int) -> str:
        """Register the picture of a row, and return its name."""
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
        """Return the place of the picture: `place` itself, or the row whose index its cell names."""
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
            raise DataError(
                f"{self._where(place)}: picture {cell!r} is neither base64 nor another row's index",
                hint="the file may be cut off, or lack the rows that have the pictures",
            )
        return other

    def _read(self, place: tuple[int, int]) -> bytes:
        cell = self._cell(place)
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(data, str):
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise DataError(
                    f"{self._where(place)}: the picture is not base64: {error}", hint="the file may be damaged"
                ) from error
        if not data:
            raise DataError(f"{self._where(place)} has no picture", hint="parquet files must hold the picture's bytes")
        return data

    def _where(self, place: tuple[int, int]) -> str:
        return f"{self._chunks[place[0]].where}, row {place[1]}"


class _Chunk(ABC):
    """Part of a table: a row group of a parquet file, or a whole TSV file.

    Args:
        where: Where the chunk is, for messages.
        columns: The names of its columns.
    """

    def __init__(self, where: str, columns: list[str]) -> None:
        self.where = where
        self.columns = columns

    def values(self) -> list[dict[str, Any]]:
        """Return the rows without the picture column."""
        return self._read([name for name in self.columns if name != _PICTURE_COLUMN]).to_pylist()

    def pictures(self) -> list[Any]:
        """Return the cells of the picture column."""
        return self._read([_PICTURE_COLUMN])[_PICTURE_COLUMN].to_pylist()

    @abstractmethod
    def _read(self, columns: list[str]) -> pa.Table: ...


class _RowGroup(_Chunk):
    def __init__(self, path: Path, file: pq.ParquetFile, group: int) -> None:
        super().__init__(f"{path.name}, row group {group}", file.schema_arrow.names)
        self._file = file
        self._group = group

    def _read(self, columns: list[str]) -> pa.Table:
        return self._file.read_row_group(self._group, columns=columns)


class _Tsv(_Chunk):
    def __init__(self, path: Path, table: pa.Table) -> None:
        super().__init__(path.name, table.column_names)
        self._table = table

    def _read(self, columns: list[str]) -> pa.Table:
        return self._table.select(columns)


def _open_chunks(source: Path) -> list[_Chunk]:
    """Open a file, or the parquet files of a folder in natural order."""
    paths = sorted(source.glob("*.parquet"), key=lambda path: natural_key(path.name)) if source.is_dir() else [source]
    if not paths:
        raise DataError(
            f"{source} has no parquet files", hint="expected a .parquet or .tsv file, or a folder of .parquet"
        )
    try:
        if source.suffix.lower() == ".tsv":
            return [_Tsv(source, _read_tsv(source))]
        files = [(path, pq.ParquetFile(path)) for path in paths]
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{source} cannot be read: {error}", hint="expected a .parquet or .tsv file") from error
    return [_RowGroup(path, file, group) for path, file in files for group in range(file.num_row_groups)]


def _read_tsv(path: Path) -> pa.Table:
    """Read every column as text. Otherwise, a column of integers with empty cells would be read as floats."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().rstrip("\r\n").split("\t")
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_TSV_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
