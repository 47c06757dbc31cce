"""DataComp's published layout, on made data."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_filter.config import ImportDatacompConfig, ImportLimits
from oqvl_filter.importers.datacomp import read_metadata, read_vectors
from oqvl_filter.importers.importing import describe_files, import_jobs
from oqvl_shards.errors import ConfigError, DataError

LIMITS = ImportLimits()


def write_metadata(path: Path, uids: list[str]) -> None:
    """A metadata file with all published columns."""
    count = len(uids)
    scores = np.linspace(0.1, 0.4, count).astype(np.float16).astype(np.float32)
    boxes = pa.array([[[0.1, 0.2, 0.3, 0.4]]] * count, pa.list_(pa.list_(pa.float64())))
    columns = {
        "uid": uids,
        "url": ["somewhere"] * count,
        "text": ["a caption"] * (count - 1) + [None],
        "original_width": range(200, 200 + count),
        "original_height": [300] * count,
        "clip_b32_similarity_score": scores,
        "clip_l14_similarity_score": scores[::-1],
        "face_bboxes": boxes,
        "sha256": ["f" * 64] * count,
    }
    pq.write_table(pa.table(columns), path)


def config(path: Path, **values) -> ImportDatacompConfig:
    return ImportDatacompConfig(source=path, output=path, name="n", **values)


def test_the_published_columns_get_short_names(tmp_path: Path, uid_of):
    path = tmp_path / "0.parquet"
    write_metadata(path, [uid_of(0), uid_of(1)])
    table = read_metadata(path, config(path))
    assert table.column_names == ["uid", "width", "height", "clip_b32", "clip_l14", "content_sha"]
    assert table["clip_b32"].type == pa.float32()
    assert read_metadata(path, config(path, columns={"text": "caption"})).column_names == ["uid", "caption"]


def test_embeddings_come_along_row_by_row(tmp_path: Path, uid_of):
    path = tmp_path / "0.parquet"
    write_metadata(path, [uid_of(0), uid_of(1)])
    vectors = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.savez(tmp_path / "0.npz", l14_img=vectors, b32_img=vectors[:1])
    table = read_metadata(path, config(path, embeddings=("l14_img",)))
    assert table["l14_img"].to_pylist() == vectors.tolist()
    with pytest.raises(DataError, match=r"has 2 rows, b32_img of its \.npz 1"):
        read_metadata(path, config(path, embeddings=("b32_img",)))


def test_embeddings_that_are_not_there_are_named(tmp_path: Path, uid_of):
    for number in range(2):
        write_metadata(tmp_path / f"{number}.parquet", [uid_of(number)])
    np.savez(tmp_path / "0.npz", l14_img=np.zeros((1, 3), np.float16))
    wanted = config(tmp_path, embeddings=("l14_img",))
    with pytest.raises(ConfigError, match=r"no file at .*1\.npz; 1 of 2 \.npz files are missing"):
        describe_files(wanted, import_jobs(wanted))


def test_a_hostile_npz_stays_closed(tmp_path: Path):
    path = tmp_path / "evil.npz"
    np.savez(path, evil=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="expected rows of float16 or float32"):
        read_vectors(path, "evil", LIMITS)
    with pytest.raises(DataError, match="no readable matrix 'absent'"):
        read_vectors(path, "absent", LIMITS)
    np.savez_compressed(path, bomb=np.zeros((1000, 1000), np.float32))
    with pytest.raises(DataError, match="unpacks to"):
        read_vectors(path, "bomb", ImportLimits(max_unpacked_bytes=1 << 20))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 8)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("liar.npy", header.getvalue() + b"1234")
    with pytest.raises(DataError, match="holds 4 bytes"):
        read_vectors(path, "liar", LIMITS)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="no readable matrix"):
        read_vectors(path, "bomb", LIMITS)
