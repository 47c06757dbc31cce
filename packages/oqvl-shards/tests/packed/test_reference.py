"""Packs that point into source tars: what is written, found again, and named when it is gone or changed."""

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.check import check_shards
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, write_manifest
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, PackedDetails, PackedSource
from oqvl_shards.packed import (
    ImageReference,
    PackedReader,
    PackRecord,
    encode_record,
    reference_shard_name,
    write_reference_shard,
)
from oqvl_shards.packed.reference import ReferenceShard
from oqvl_shards.tar.index import scan_tar
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.webdataset_bridge import to_webdataset

Rows = list[tuple[PackRecord, list[ImageReference]]]


def lineage() -> Lineage:
    return Lineage.derive("test", "0", StageConfig())


@pytest.fixture
def source(tmp_path: Path) -> Dataset:
    """Two tars of one image-text pair each."""
    entries = []
    for number in range(2):
        with TarWriter(tmp_path / "pairs" / f"{number:05d}.tar") as tar:
            tar.add(f"{number}.png", f"image {number}".encode())
            tar.add(f"{number}.txt", b"a caption")
        entries.append(tar.shard(1, tmp_path / "pairs"))
    account = Account(num_in=2, num_kept=2)
    manifest = Manifest(
        name="pairs", details=ImageTextDetails(), shards=tuple(entries), account=account, lineage=lineage()
    )
    return write_manifest(tmp_path / "pairs", manifest)


@pytest.fixture
def rows(source: Dataset, record: PackRecord) -> Rows:
    """Three packs: of either shard, and of both."""
    spans = [scan_tar(source.shard_path(shard)).members[0] for shard in source.manifest.shards]
    first, second = (ImageReference(i, member.offset, member.size) for i, member in enumerate(spans))
    both = replace(
        record,
        input_ids=np.array([5, 99, 6, 7, 99, 9], dtype=np.int32),
        is_target=np.array([False, False, True, True, False, True]),
        image_positions=np.array([1, 4], dtype=np.int32),
        image_tokens=np.array([3, 3], dtype=np.int32),
        image_types=("png", "png"),
    )
    return [(record, [first]), (record, [second]), (both, [second, first])]


def seal(directory: Path, source: Dataset, rows: Rows) -> Dataset:
    parts = [rows[:2], rows[2:]]
    shards = [
        write_reference_shard(directory / reference_shard_name(i), part, relative_to=directory)
        for i, part in enumerate(parts)
    ]
    records = [record for record, _ in rows]
    account = Account(num_in=2, num_kept=2)
    details = PackedDetails(
        layout="reference",
        bin_capacity=200,
        visual_tokens_per_image=3,
        image_token_id=99,
        pad_token_id=0,
        vocab_size=100,
        tokenizer_sha256="0" * 64,
        num_documents=sum(len(record.document_keys) for record in records),
        num_images=sum(len(record.image_types) for record in records),
        num_tokens=sum(record.num_tokens for record in records),
        num_target_tokens=sum(int(record.is_target.sum()) for record in records),
        lower_bound=1,
        sources=(
            PackedSource(name="pairs", sha256=source.manifest.digest(), path="../pairs", num_tokens=1, account=account),
        ),
    )
    manifest = Manifest(name="packs", details=details, shards=tuple(shards), account=account, lineage=lineage())
    return write_manifest(directory, manifest)


@pytest.fixture
def dataset(tmp_path: Path, source: Dataset, rows: Rows) -> Dataset:
    return seal(tmp_path / "packs", source, rows)


def test_reads_the_images_where_they_lie(dataset: Dataset, rows: Rows) -> None:
    reader = PackedReader(dataset)
    assert [pack.images for pack in reader] == [(b"image 0",), (b"image 1",), (b"image 1", b"image 0")]
    assert [encode_record(reader[i].record) for i in (2, 0, 1)] == [encode_record(rows[i][0]) for i in (2, 0, 1)]
    assert reader[-1].pack_id == 2
    assert pickle.loads(pickle.dumps(reader))[2].images == (b"image 1", b"image 0")
    assert sum(path.stat().st_size for path in dataset.path.glob("*.arrow")) < 20_000


@given(data=st.data())
def test_any_records_come_back(
    records: st.SearchStrategy[PackRecord], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(records, max_size=4))
    spans = st.builds(ImageReference, *[st.integers(0, bound) for bound in (1 << 31 - 1, 1 << 62, 1 << 40)])
    rows = [(record, [data.draw(spans) for _ in record.image_types]) for record in drawn]
    path = tmp_path_factory.mktemp("any") / "x.arrow"
    entry = write_reference_shard(path, rows, relative_to=path.parent)
    assert entry == write_reference_shard(path.with_name("y.arrow"), rows, relative_to=path.parent).model_copy(
        update={"path": "x.arrow"}
    )
    shard = ReferenceShard(path, len(rows), ())
    found = [(encode_record(shard.record(i)), shard.references(i)) for i in range(len(rows))]
    assert found == [(encode_record(record), references) for record, references in rows]


def test_any_arrow_reader_reads_it(dataset: Dataset) -> None:
    table = pyarrow.ipc.open_file(dataset.path / "shard-00001.arrow").read_all()
    row = table.to_pylist()[0]
    assert row["input_ids"] == [5, 99, 6, 7, 99, 9]
    assert row["document_keys"] == ["00000.tar/a", "00000.tar/é"]
    assert (row["image_shards"], row["image_sizes"]) == ([1, 0], [7, 7])


def test_packs_and_sources_move_together(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "else" / "where").mkdir(parents=True)
    for name in ("packs", "pairs"):
        shutil.move(tmp_path / name, tmp_path / "else" / "where" / name)
    assert PackedReader(tmp_path / "else" / "where" / "packs")[0].images == (b"image 0",)


def lose_source(path: Path) -> None:
    path.rename(path.with_name("gone"))


def change_manifest(path: Path) -> None:
    file = path / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"pairs"', b'"others"'))


def lose_shard(path: Path) -> None:
    (path / "00001.tar").unlink()


def cut_shard(path: Path) -> None:
    with (path / "00001.tar").open("ab") as file:
        file.truncate(1024)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lose_source, r"points into its source 'pairs', which is not at .*pairs: .*pairs is not a directory"),
        (change_manifest, r"the dataset at .*pairs has the digest [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (lose_shard, r"source shard .*00001\.tar: found no file, expected \d+ bytes"),
        (cut_shard, r"source shard .*00001\.tar: found 1024 bytes, expected \d+ bytes"),
    ],
)
def test_a_source_that_moved_or_changed_is_named(
    dataset: Dataset, source: Dataset, harm: Callable[[Path], None], message: str
) -> None:
    harm(source.path)
    with pytest.raises(DataError, match=message) as caught:
        PackedReader(dataset)
    assert caught.value.hint
    assert not check_shards(dataset).is_good


def test_verify_reads_packs_and_sources(dataset: Dataset, source: Dataset) -> None:
    assert check_shards(dataset).is_good
    path = source.path / "00000.tar"
    data = bytearray(path.read_bytes())
    data[512] ^= 1  # same size: only the sha256 tells
    path.write_bytes(data)
    PackedReader(dataset)
    problems = check_shards(dataset).problems
    assert [(one.shard, one.fault.value) for one in problems] == [("../pairs/00000.tar", "sha256")]


def test_verify_names_a_packed_shard_that_is_none(dataset: Dataset) -> None:
    path = dataset.path / "shard-00000.arrow"
    path.write_bytes(b"x" * path.stat().st_size)
    assert [one.fault.value for one in check_shards(dataset).problems] == ["sha256", "damaged"]
    with pytest.raises(DataError, match=r"shard-00000\.arrow is not a shard of layout reference"):
        PackedReader(dataset)[0]


def test_another_number_of_packs_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="found 2 packs, expected 5 as in the manifest"):
        ReferenceShard(dataset.path / "shard-00000.arrow", 5, ())


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (ImageReference(7, 0, 1), "found source shard 7 of 2"),
        (ImageReference(-1, 0, 1), "found source shard -1 of 2"),
        (ImageReference(0, 0, 1 << 40), r"found an image of 1099511627776 bytes at 0, but .*00000\.tar has \d+ bytes"),
        (ImageReference(0, -4, 1), "found an image of 1 bytes at -4"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(
    tmp_path: Path, source: Dataset, record: PackRecord, reference: ImageReference, message: str
) -> None:
    dataset = seal(tmp_path / "packs", source, [(record, [reference])])
    with pytest.raises(DataError, match=rf"shard-00000\.arrow: pack 0: {message}"):
        PackedReader(dataset)[0]


def test_a_wrong_number_of_references_is_refused(tmp_path: Path, record: PackRecord) -> None:
    with pytest.raises(DataError, match="pack 0: found 0 images, expected 1"):
        write_reference_shard(tmp_path / "x.arrow", [(record, [])], relative_to=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_foreign_arrow_files_are_refused(dataset: Dataset) -> None:
    path = dataset.path / "shard-00000.arrow"
    table = pyarrow.table({"input_ids": [[1, 2]]})
    with pyarrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="found 1 record batches of input_ids list<"):
        ReferenceShard(path, 1, ())


def test_hostile_offsets_are_refused(dataset: Dataset) -> None:
    path = dataset.path / "shard-00000.arrow"
    data = path.read_bytes()
    offsets, hostile = (np.array([0, middle, 12], dtype="<i4").tobytes() for middle in (6, 1 << 30))
    assert offsets in data
    path.write_bytes(data.replace(offsets, hostile))
    with pytest.raises(DataError, match="is not a shard of layout reference"):
        ReferenceShard(path, 2, ())


def test_webdataset_needs_the_embedded_layout(dataset: Dataset) -> None:
    with pytest.raises(ManifestError, match="layout reference, whose shards are Arrow files") as caught:
        to_webdataset(dataset)
    assert "layout=embedded" in (caught.value.hint or "")


def test_a_reference_without_a_path_is_no_manifest(dataset: Dataset) -> None:
    details = dataset.manifest.details.model_dump()
    details["sources"][0]["path"] = ""
    with pytest.raises(ValueError, match="layout reference needs the path of every source"):
        PackedDetails.model_validate(details)
    details["sources"][0]["path"] = "/etc"
    with pytest.raises(ValueError, match="must be relative"):
        PackedDetails.model_validate(details)
