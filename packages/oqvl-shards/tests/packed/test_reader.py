import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, write_manifest
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, PackedDetails
from oqvl_shards.packed.codec import encode_record
from oqvl_shards.packed.reader import PackedReader
from oqvl_shards.packed.record import Pack, PackRecord


def content(pack: Pack) -> tuple[int, bytes, tuple[bytes, ...]]:
    return pack.pack_id, encode_record(pack.record), pack.images


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin_capacity": 7}, "8 tokens, expected at most 7"),
        ({"visual_tokens_per_image": 4}, "an image does not have 4 visual tokens"),
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
