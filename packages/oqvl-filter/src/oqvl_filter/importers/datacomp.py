"""DataComp's metadata: one parquet file per shard, and row-aligned embeddings in an `.npz` of the same name.

Columns of the published files: `uid, url, text, original_width, original_height, clip_b32_similarity_score,
clip_l14_similarity_score, face_bboxes, sha256`; keys of the embeddings: `b32_img, b32_txt, l14_img, l14_txt` (Gadre et
al., 2023, arXiv 2304.14108).
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from oqvl_filter.importers.config import ImportDatacompConfig, ImportLimits
from oqvl_filter.importers.foreign_table import pick_columns, read_parquet
from oqvl_shards.errors import DataError

_SCORES = {
    "original_width": "width",
    "original_height": "height",
    "clip_b32_similarity_score": "clip_b32",
    "clip_l14_similarity_score": "clip_l14",
    "sha256": "content_sha",
}
"""The columns that are imported by default, and their names here."""

_BROKEN_HEADER = (SyntaxError, tokenize.TokenError, zlib.error)
"""What a damaged header or a damaged stream raises in addition to ValueError."""


def read_metadata(path: Path, config: ImportDatacompConfig) -> pa.Table:
    """Read one metadata file, and the requested embeddings next to it.

    Raises:
        DataError: If a file is damaged, or the embeddings have another number of rows.
    """
    table = read_parquet(path, config.limits)
    columns = config.columns or {name: new for name, new in _SCORES.items() if name in table.column_names}
    table = pick_columns(table, columns, (config.identity_column,), path)
    for name in config.embeddings:
        vectors = read_vectors(path.with_suffix(".npz"), name, config.limits)
        if len(vectors) != len(table):
            raise DataError(f"{path} has {len(table)} rows, {name} of its .npz {len(vectors)}")
        flat = pa.array(np.ascontiguousarray(vectors).ravel())
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    return table


def read_vectors(path: Path, name: str, limits: ImportLimits) -> np.ndarray:
    """Return the matrix `name` [N, dim] of an `.npz`, float16 or float32. Its header is checked before it is read.

    Raises:
        DataError: If there is no such matrix, or it is too large, or it is of another type.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := archive.getinfo(f"{name}.npy").file_size) > limits.max_unpacked_bytes:
                raise DataError(f"{path}: {name} unpacks to {size} bytes, expected at most {limits.max_unpacked_bytes}")
            with archive.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, is_fortran, dtype = read_header[version](member)
                content = member.read(size)
    except (*_BROKEN_HEADER, OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path} has no readable matrix {name!r}: {error}") from error
    if len(shape) != 2 or dtype not in (np.float16, np.float32) or is_fortran:
        raise DataError(f"{path}: {name} is of shape {shape} and type {dtype}, expected rows of float16 or float32")
    if len(content) != shape[0] * shape[1] * dtype.itemsize:
        raise DataError(f"{path}: {name} holds {len(content)} bytes, expected {shape[0]} x {shape[1]} {dtype}")
    return np.frombuffer(content, dtype).reshape(shape)
