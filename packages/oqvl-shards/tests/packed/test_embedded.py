import os
import tarfile
from pathlib import Path

import pytest
import safetensors.numpy

from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.packed.codec import encode_record
from oqvl_shards.packed.embedded import write_packed_shard
from oqvl_shards.packed.reader import PackedReader
from oqvl_shards.packed.record import PackRecord
from oqvl_shards.tar.index import scan_tar
from oqvl_shards.tar.writer import TarWriter


def test_members_are_those_of_the_specification(dataset: Dataset) -> None:
    names = [[member.name for member in scan_tar(dataset.path / f"shard-0000{i}.tar").members] for i in (0, 1)]
    assert names == [
        [
            "000000000.safetensors",
            "000000000.000.png",
            "000000001.safetensors",
            "000000002.safetensors",
            "000000002.000.png",
        ],
        ["000000003.safetensors", "000000003.000.png"],
    ]


def test_the_same_packs_give_the_same_bytes(tmp_path: Path, packs: list[tuple[PackRecord, list[bytes]]]) -> None:
    shards = [
        write_packed_shard(tmp_path / name / "x.tar", packs, first_pack_id=7, relative_to=tmp_path / name)
        for name in ("a", "b")
    ]
    assert shards[0] == shards[1]
    assert shards[0].num_samples == len(packs)


def test_images_are_copied_from_source_shards_by_byte_range(tmp_path: Path, record: PackRecord) -> None:
    with TarWriter(tmp_path / "source.tar") as tar:
        tar.add("a.txt", b"caption")
        tar.add("a.png", b"the image")
    member = scan_tar(tmp_path / "source.tar").members[1]
    by_path = write_packed_shard(
        tmp_path / "path.tar", [(record, [(tmp_path / "source.tar", member)])], first_pack_id=0, relative_to=tmp_path
    )
    by_bytes = write_packed_shard(
        tmp_path / "bytes.tar", [(record, [b"the image"])], first_pack_id=0, relative_to=tmp_path
    )
    assert by_path.sha256 == by_bytes.sha256


def test_a_wrong_number_of_images_is_refused_and_leaves_no_file(tmp_path: Path, record: PackRecord) -> None:
    with pytest.raises(DataError, match="pack 7: found 2 images, expected 1"):
        write_packed_shard(tmp_path / "x.tar", [(record, [b"a", b"b"])], first_pack_id=7, relative_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_webdataset_and_safetensors_read_the_same(dataset: Dataset) -> None:
    import webdataset

    reader = PackedReader(dataset)
    paths = [str(dataset.shard_path(shard)) for shard in dataset.manifest.shards]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{i:09d}" for i in range(4)]
    for sample, pack in zip(samples, reader, strict=True):
        tensors = safetensors.numpy.load(sample["safetensors"])
        assert tensors["input_ids"].tolist() == pack.record.input_ids.tolist()
        assert tensors["is_target"].tolist() == pack.record.is_target.tolist()
        images = tuple(sample[name] for name in sorted(sample) if name.endswith(".png"))
        assert images == pack.images


def rewrite_shard(dataset: Dataset, members: list[tuple[str, bytes]]) -> None:
    with TarWriter(dataset.path / "shard-00001.tar") as tar:
        for name, data in members:
            tar.add(name, data)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["000000003.000.png"], r"found member '000000003\.000\.png', expected 000000003\.safetensors"),
        (["000000004.safetensors"], r"found member '000000004\.safetensors', expected 000000003\.safetensors"),
        (["000000003.safetensors", "000000003.001.png"], r"expected 000000004\.safetensors or image 0 of pack 3"),
        (["000000003.safetensors", "000000003.000.gif"], r"found member '000000003\.000\.gif'"),
        (["000000003.safetensors", "000000004.safetensors"], "found 2 packs, expected 1"),
        ([], "found 0 packs, expected 1"),
        (["000000003.safetensors"], "found 0 image members, expected 1"),
    ],
)
def test_members_that_do_not_follow_the_format_are_named(
    dataset: Dataset, record: PackRecord, names: list[str], message: str
) -> None:
    rewrite_shard(dataset, [(name, encode_record(record)) for name in names])
    with pytest.raises(DataError, match=rf"shard-00001\.tar.*{message}"):
        PackedReader(dataset)[3]


def test_a_cut_shard_is_named(dataset: Dataset) -> None:
    path = dataset.path / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"shard-00001\.tar: truncated_member"):
        PackedReader(dataset)[3]


def test_a_shard_cut_after_it_was_indexed_is_named(dataset: Dataset) -> None:
    reader = PackedReader(dataset)
    assert reader[3].pack_id == 3
    os.truncate(dataset.path / "shard-00001.tar", 700)
    with pytest.raises(DataError, match=r"shard-00001\.tar: found 188 bytes at 512"):
        reader[3]


def test_shards_are_plain_tars(dataset: Dataset) -> None:
    with tarfile.open(dataset.path / "shard-00000.tar") as archive:
        members = archive.getmembers()
    assert all(member.isreg() and member.mtime == 0 for member in members)
