import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Account, Dataset, ImageTextDetails, Lineage, Manifest, PackedDetails, write_manifest
from oqvl_shards.packed import Pack, PackedReader, PackRecord, encode_record, write_packed_shard
from oqvl_shards.tar_index import scan_tar
from oqvl_shards.tar_writer import TarWriter


@pytest.fixture
def packs(record: PackRecord) -> list[tuple[PackRecord, list[bytes]]]:
    text_only = replace(
        record,
        input_ids=np.array([1, 2], dtype=np.int32),
        is_target=np.array([False, True]),
        document_lengths=np.array([2], dtype=np.int32),
        image_positions=np.array([], dtype=np.int32),
        image_tokens=np.array([], dtype=np.int32),
        document_keys=("b",),
        image_types=(),
    )
    return [(record, [b"image 0"]), (text_only, []), (record, [b"i" * 600]), (record, [b"image 3"])]


@pytest.fixture
def dataset(tmp_path: Path, packs: list[tuple[PackRecord, list[bytes]]], make_packed_dataset) -> Dataset:
    return make_packed_dataset(tmp_path / "packs", packs, [3, 1])


def content(pack: Pack) -> tuple[int, bytes, tuple[bytes, ...]]:
    return pack.pack_id, encode_record(pack.record), pack.images


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


@given(data=st.data())
def test_random_access_equals_iteration_equals_what_was_written(
    records: st.SearchStrategy[PackRecord], make_packed_dataset, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    packs = []
    for _ in range(sum(sizes)):
        record = data.draw(records)
        number = len(record.image_types)
        packs.append((record, data.draw(st.lists(st.binary(max_size=700), min_size=number, max_size=number))))
    with TemporaryDirectory() as directory:
        reader = PackedReader(make_packed_dataset(Path(directory), packs, sizes))
        written = [(i, encode_record(record), tuple(images)) for i, (record, images) in enumerate(packs)]
        assert len(reader) == len(packs)
        assert [content(pack) for pack in reader] == written
        order = data.draw(st.permutations(range(len(packs))))
        assert [content(pack) for pack in reader.iter_packs(order)] == [written[i] for i in order]


def test_a_directory_is_as_good_as_a_dataset(dataset: Dataset) -> None:
    assert [content(pack) for pack in PackedReader(dataset.path)] == [content(pack) for pack in PackedReader(dataset)]


def test_indexing_is_that_of_a_sequence(dataset: Dataset) -> None:
    reader = PackedReader(dataset)
    assert [pack.pack_id for pack in reader[1:]] == [1, 2, 3]
    assert reader[-1].pack_id == 3
    for beyond in (4, -5):
        with pytest.raises(IndexError, match=f"pack {beyond} of 4"):
            reader[beyond]


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
    descriptor = os.open(tmp_path / "source.tar", os.O_RDONLY)
    by_descriptor = write_packed_shard(
        tmp_path / "descriptor.tar", [(record, [(descriptor, member)])], first_pack_id=0, relative_to=tmp_path
    )
    os.close(descriptor)
    by_bytes = write_packed_shard(
        tmp_path / "bytes.tar", [(record, [b"the image"])], first_pack_id=0, relative_to=tmp_path
    )
    assert by_path.sha256 == by_descriptor.sha256 == by_bytes.sha256


def test_a_wrong_number_of_images_is_refused_and_leaves_no_file(tmp_path: Path, record: PackRecord) -> None:
    with pytest.raises(DataError, match="pack 7: found 2 images, expected 1"):
        write_packed_shard(tmp_path / "x.tar", [(record, [b"a", b"b"])], first_pack_id=7, relative_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_travels_to_workers(dataset: Dataset) -> None:
    reader = PackedReader(dataset)
    expected = [content(pack) for pack in reader]
    assert [content(pack) for pack in pickle.loads(pickle.dumps(reader))] == expected
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: content(reader[i % 4]), range(64))) == expected * 16
    child = os.fork()
    if child == 0:
        os._exit(0 if [content(pack) for pack in reader] == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_shard_is_scanned_only_when_it_is_read(dataset: Dataset) -> None:
    (dataset.path / "shard-00001.tar").unlink()
    reader = PackedReader(dataset)
    assert reader[0].images == (b"image 0",)
    with pytest.raises(DataError, match=r"shard-00001\.tar cannot be opened"):
        reader[3]


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin_capacity": 7}, "8 tokens, expected at most 7"),
        ({"visual_tokens_per_image": 4}, "an image of other than 4 visual tokens"),
        ({"image_token_id": 6}, "image placeholders are not exactly the tokens 6"),
        ({"vocab_size": 99}, r"a token id outside 0\.\.98"),
    ],
)
def test_a_record_that_contradicts_the_manifest_is_named(
    dataset: Dataset, change: dict[str, int], message: str
) -> None:
    details = dataset.manifest.details.model_copy(update=change)
    assert isinstance(details, PackedDetails)
    reader = PackedReader(Dataset(dataset.path, dataset.manifest.model_copy(update={"details": details})))
    with pytest.raises(DataError, match=rf"000000000\.safetensors: {message}"):
        reader[0]


def test_another_kind_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(
        name="pairs",
        details=ImageTextDetails(),
        shards=(),
        account=Account(num_in=0, num_kept=0),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    with pytest.raises(ManifestError, match="is of kind image_text, expected packed"):
        PackedReader(write_manifest(tmp_path, manifest))


def test_shards_are_plain_tars(dataset: Dataset) -> None:
    with tarfile.open(dataset.path / "shard-00000.tar") as archive:
        members = archive.getmembers()
    assert all(member.isreg() and member.mtime == 0 for member in members)
