import json
from pathlib import Path

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_bytes, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Account, ImageTextDetails, Kind, Lineage, Manifest, Shard

SHA = "0123456789abcdef" * 4


def make_manifest(**changes: object) -> Manifest:
    values = {
        "name": "pool",
        "details": ImageTextDetails(),
        "shards": (),
        "account": Account(num_in=0, num_kept=0),
        "lineage": Lineage.derive("oqvl-x make", "1.0", StageConfig()),
    }
    return Manifest.model_validate(values | changes)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.tar").write_bytes(b"abc")
    shard = describe_file(tmp_path / "sub" / "a.tar", tmp_path, 2)
    manifest = make_manifest(shards=(shard,), account=Account(num_in=3, num_kept=2, rejected={"no_text": 1}))
    return write_manifest(tmp_path, manifest)


def test_a_written_manifest_reads_back_equal(dataset: Dataset) -> None:
    opened = open_dataset(dataset.path)
    assert opened == dataset
    assert opened.manifest.num_samples == 2
    assert opened.manifest.num_bytes == 3
    assert opened.shard_path(opened.manifest.shards[0]) == dataset.path / "sub" / "a.tar"
    assert opened.manifest.digest() == dataset.manifest.digest()


def test_describe_file_hashes_what_is_there(dataset: Dataset) -> None:
    assert dataset.manifest.shards == (
        Shard(
            path="sub/a.tar",
            num_samples=2,
            num_bytes=3,
            sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
        ),
    )


def test_the_bytes_are_canonical(dataset: Dataset) -> None:
    text = (dataset.path / "manifest.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert str(dataset.path) not in text


def test_another_kind_than_asked_for_is_named(dataset: Dataset) -> None:
    assert open_dataset(dataset.path, Kind.CONVERSATION, Kind.IMAGE_TEXT) == dataset
    with pytest.raises(ManifestError, match=r"manifest\.json is of kind image_text, expected scores or packed"):
        open_dataset(dataset.path, Kind.SCORES, Kind.PACKED)


def test_a_missing_directory_and_a_missing_manifest_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="absent is not a directory"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(ManifestError, match=r"has no manifest\.json") as caught:
        open_dataset(tmp_path)
    assert "oqvl-shards import" in caught.value.hint


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        open_dataset(tmp_path)


def test_no_manifest_is_written_before_its_shards_are_there(tmp_path: Path) -> None:
    shard = Shard(path="a.tar", num_samples=0, num_bytes=3, sha256=SHA)
    with pytest.raises(DataError, match=r"a\.tar: found no file, expected 3 bytes"):
        write_manifest(tmp_path, make_manifest(shards=(shard,)))
    (tmp_path / "a.tar").write_bytes(b"ab")
    with pytest.raises(DataError, match=r"a\.tar: found 2 bytes, expected 3 bytes"):
        write_manifest(tmp_path, make_manifest(shards=(shard,)))
    assert not (tmp_path / "manifest.json").exists()


def test_a_shard_that_shrank_is_told_from_a_whole_one(dataset: Dataset) -> None:
    shard = dataset.manifest.shards[0]
    path = dataset.whole_shard_path(shard)
    path.write_bytes(path.read_bytes()[:-1])
    assert dataset.shard_path(shard) == path
    with pytest.raises(
        DataError, match=rf"{path.name}: found {shard.num_bytes - 1:,} bytes, expected {shard.num_bytes:,} bytes"
    ):
        dataset.whole_shard_path(shard)
    path.unlink()
    with pytest.raises(DataError, match="found no file"):
        dataset.whole_shard_path(shard)


def test_bytes_and_the_file_that_holds_them_are_described_alike(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"some bytes")
    assert describe_bytes(b"some bytes", "a.bin", 3) == describe_file(tmp_path / "a.bin", tmp_path, 3)


def test_a_directory_that_a_run_has_begun_is_told_from_any_other(tmp_path: Path, dataset: Dataset) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "unfinished.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        open_dataset(begun)
    assert "run it again" in caught.value.hint
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    write_manifest(outer / "inner", make_manifest())
    with pytest.raises(ManifestError) as caught:
        open_dataset(outer)
    assert f"there is one in {outer / 'inner'}" in caught.value.hint
