"""Columns of score datasets in a form that is mapped into memory instead of being read.

A score dataset has one parquet file per shard, and opening thousands of them takes longer than applying a rule. A
column that was read once is kept as one Arrow file. Its name contains the digest of the dataset's manifest, so a
changed dataset has other files. The cache is optional: what is missing or damaged is read again, and it may be deleted
at any time. It costs as much disk as the columns take in memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.uid_array import first_rows, parse_uids
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset
from oqvl_shards.uid import UID_DTYPE

_DISTINCT = b"distinct"


@dataclass(frozen=True)
class Uids:
    """The uids of a score dataset, in its order.

    Args:
        values: [N] of dtype `UID_DTYPE`.
        stored_distinct: Whether they are distinct, according to the cache; None if it does not say.
    """

    values: NDArray[np.void]
    stored_distinct: bool | None = None

    @cached_property
    def is_distinct(self) -> bool:
        """Whether all uids are distinct."""
        return first_rows(self.values) is None if self.stored_distinct is None else self.stored_distinct


@dataclass(frozen=True)
class ColumnCache:
    """Keeps columns in a directory.

    Args:
        directory: Where they are kept; None: nowhere.
    """

    directory: Path | None = None

    def column(self, dataset: Dataset, name: str, read: Callable[[], pa.ChunkedArray]) -> pa.ChunkedArray:
        """Return a column from the cache, or else from `read`."""
        if self.directory is None:
            return read()
        path = self._path(dataset, name)
        cached = _load(path, dataset)
        if cached is None:
            column = read()
            _store(path, pa.table({"values": column}))
            return column
        return cached["values"]

    def uids(self, dataset: Dataset, read: Callable[[], pa.ChunkedArray]) -> Uids:
        """Return the uids of a dataset; `read` returns their column, 32 hex digits each.

        Raises:
            DataError: If a value is not a uid.
        """
        path = self._path(dataset, "uid") if self.directory else None
        cached = _load(path, dataset) if path else None
        if cached is not None and cached["values"].type != pa.binary(16):
            cached = None  # another program's file
        if cached is not None:
            chunks = [np.frombuffer(chunk.buffers()[1], UID_DTYPE, len(chunk)) for chunk in cached["values"].chunks]
            values = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, UID_DTYPE), *chunks])
            return Uids(values, (cached.schema.metadata or {}).get(_DISTINCT) == b"true")
        uids = Uids(parse_uids(read()))
        if path:
            words = pa.Array.from_buffers(
                pa.binary(16), len(uids.values), [None, pa.py_buffer(np.ascontiguousarray(uids.values))]
            )
            table = pa.table({"values": words})
            _store(path, table.replace_schema_metadata({_DISTINCT: b"true" if uids.is_distinct else b"false"}))
        return uids

    def _path(self, dataset: Dataset, name: str) -> Path:
        assert self.directory is not None
        # The name comes from a manifest, so it must not become a path.
        column = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.directory / f"{dataset.manifest.digest()}.{column}.arrow"


def _load(path: Path, dataset: Dataset) -> pa.Table | None:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException):
        return None
    return table if table.num_rows == dataset.manifest.num_samples and table.column_names == ["values"] else None


def _store(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    atomic_write(path, buffer.getvalue())
