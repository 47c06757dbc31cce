from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_shards.check import Fault, check_shards
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, write_manifest
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, ScoresDetails
from oqvl_shards.tar.writer import TarWriter


def make_dataset(directory: Path, shards, details=None) -> Dataset:
    num_samples = sum(shard.num_samples for shard in shards)
    manifest = Manifest(
        name="pool",
        details=details or ImageTextDetails(),
        shards=tuple(shards),
        account=Account(num_in=num_samples, num_kept=num_samples),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    return write_manifest(directory, manifest)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    shards = []
    for shard in range(3):
        with TarWriter(tmp_path / f"{shard}.tar") as writer:
            for sample in range(4):
                writer.add(f"{shard}{sample}.jpg", bytes(300))
                writer.add(f"{shard}{sample}.txt", b"caption")
        shards.append(writer.shard(4, tmp_path))
    return make_dataset(tmp_path, shards)


def faults(dataset: Dataset) -> list[tuple[str, Fault]]:
    return [(problem.shard, problem.fault) for problem in check_shards(dataset).problems]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_good_dataset_is_good(dataset, num_workers):
    report = check_shards(dataset, num_workers=num_workers)
    assert (report.num_shards, report.num_samples, report.problems) == (3, 12, ())
    assert report.num_bytes == sum(path.stat().st_size for path in dataset.path.glob("*.tar"))
    assert report.is_good
    report.raise_if_failed()


def test_all_problems_are_collected(dataset):
    (dataset.path / "0.tar").unlink()
    middle = dataset.path / "1.tar"
    middle.write_bytes(middle.read_bytes()[:3000])
    last = bytearray((dataset.path / "2.tar").read_bytes())
    last[600] ^= 1
    (dataset.path / "2.tar").write_bytes(last)
    assert faults(dataset) == [
        ("0.tar", Fault.MISSING),
        ("1.tar", Fault.SIZE),
        ("1.tar", Fault.SHA256),
        ("1.tar", Fault.DAMAGED),
        ("1.tar", Fault.NUM_SAMPLES),
        ("2.tar", Fault.SHA256),
    ]
    with pytest.raises(DataError, match=r"6 problem\(s\)(.|\n)*1\.tar: num_samples: found 1 samples, expected 4"):
        check_shards(dataset).raise_if_failed()


def test_a_wrong_count_is_seen(tmp_path, dataset):
    shards = [shard.model_copy(update={"num_samples": 5}) for shard in dataset.manifest.shards]
    assert faults(make_dataset(tmp_path, shards)) == [(f"{i}.tar", Fault.NUM_SAMPLES) for i in range(3)]


def test_rows_of_parquet_are_counted(tmp_path):
    pq.write_table(pa.table({"uid": ["a", "b"]}), tmp_path / "0.parquet")
    (tmp_path / "1.parquet").write_bytes(b"not parquet")
    shards = [describe_file(tmp_path / f"{i}.parquet", tmp_path, 3) for i in range(2)]
    details = ScoresDetails(scorer="clip", fingerprint="0" * 64, columns=("score",))
    found = faults(make_dataset(tmp_path, shards, details))
    assert found == [("0.parquet", Fault.NUM_SAMPLES), ("1.parquet", Fault.DAMAGED)]


def test_other_files_are_checked_by_digest(tmp_path):
    np.save(tmp_path / "uids.npy", np.zeros(3))
    dataset = make_dataset(
        tmp_path,
        [describe_file(tmp_path / "uids.npy", tmp_path, 3)],
        ScoresDetails(scorer="x", fingerprint="0" * 64, columns=()),
    )
    assert faults(dataset) == []
