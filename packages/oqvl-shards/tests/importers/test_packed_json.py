"""The original's packs as JSON: taken apart into samples; as pickles: refused."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.importers.config import ImportPackedJsonConfig
from oqvl_shards.importers.conversion import ImportReason
from oqvl_shards.importers.packed_json import convert_caption, find_packs
from oqvl_shards.run import import_packed_json
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, SampleError


def encoded(image: bytes) -> dict[str, str]:
    return {"image_base64": base64.b64encode(image).decode()}


def caption(text: str, image: bytes, number: int) -> dict[str, Any]:
    key = f"{number:09d}"
    return {"image_info": [encoded(image), None], "texts": [None, text], "key": key, "uid": "f" * 32, "length": 170}


def write_pack(path: Path, samples: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": samples, "lengths": [170] * len(samples)}, indent=2))


def config(source: Path, output: Path, **values: object) -> ImportPackedJsonConfig:
    return ImportPackedJsonConfig.model_validate({"source": source, "output": output, "name": "packs", **values})


@pytest.fixture
def packs(tmp_path: Path, images: dict[str, bytes]) -> Path:
    source = tmp_path / "packs"
    write_pack(source / "0" / "aa_packed.json", [caption(f"text {i} ]}}", images["JPEG"], i) for i in range(3)])
    write_pack(source / "0" / "bb_packed.json", [])
    write_pack(source / "1" / "cc_packed.json", [caption("third [{", images["PNG"], 9), caption(" ", images["PNG"], 8)])
    (source / "0_stats.json").write_text("{}")
    return source


def test_captions_become_image_text_samples(packs: Path, tmp_path: Path, images: dict[str, bytes]) -> None:
    report = import_packed_json(config(packs, tmp_path / "out", records_per_shard=2))
    assert report.kind == "image_text"
    assert (report.num_shards, report.num_samples, report.account.num_in) == (2, 4, 5)
    assert report.account.rejected == {"empty_text": 1}
    dataset = open_dataset(tmp_path / "out")
    with ShardReader(dataset.shard_path(dataset.manifest.shards[0])) as reader:
        assert [sample.key for sample in reader.samples] == ["000000000", "000000001", "000000002"]
        sample = reader.samples[1]
        assert [member.name for member in sample.members] == ["000000001.json", "000000001.txt", "000000001.jpg"]
        assert reader.text(sample) == "text 1 ]}"
        assert reader.image(sample) == ("jpg", images["JPEG"])
        assert reader.json(sample) == {"uid": "f" * 32, "key": "000000001"}


def test_documents_become_interleaved_samples(tmp_path: Path, images: dict[str, bytes]) -> None:
    document = {"texts": ["a", None, "b"], "image_info": [None, encoded(images["WEBP"]), None], "key": "k"}
    write_pack(tmp_path / "packs" / "aa_packed.json", [document])
    import_packed_json(config(tmp_path / "packs", tmp_path / "out", kind="interleaved"))
    dataset = open_dataset(tmp_path / "out")
    with ShardReader(dataset.shard_path(dataset.manifest.shards[0])) as reader:
        assert reader.json(reader.samples[0]) == {"texts": ["a", None, "b"], "images": [None, "0.webp", None]}


def test_same_bytes_for_any_number_of_workers(packs: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "1", tmp_path / "2"]
    for num_workers, output in enumerate(outputs, 1):
        import_packed_json(config(packs, output, num_workers=num_workers))
    assert len({(output / "manifest.json").read_bytes() for output in outputs}) == 1


def test_pickles_are_refused_and_it_is_said_why(packs: Path, tmp_path: Path) -> None:
    (packs / "0" / "dd.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ConfigError, match=r"1 pickles, the first is 0/dd\.pkl: loading a pickle runs any code"):
        import_packed_json(config(packs, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory"):
        find_packs(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"holds no \*_packed\.json file"):
        find_packs(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"lengths": [1]}', '{"data": [{"a": 1}'])
def test_a_file_that_is_no_pack_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "aa_packed.json").write_text(text)
    with pytest.raises(DataError, match=r"aa_packed\.json"):
        import_packed_json(config(tmp_path, tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_info": None}, ImportReason.MISALIGNED),
        ({"image_info": [None, None]}, RejectReason.NO_IMAGE),
        ({"image_info": [{}, None]}, RejectReason.IMAGE_BROKEN),
        ({"image_info": [{"image_base64": "bm8="}, None]}, RejectReason.IMAGE_BROKEN),
        ({"texts": ["a", "b"]}, ImportReason.MISALIGNED),
        ({"texts": [None, None]}, RejectReason.EMPTY_TEXT),
        ({"texts": [None, 3]}, RejectReason.EMPTY_TEXT),
    ],
)
def test_samples_that_are_no_caption(images: dict[str, bytes], change: dict[str, Any], reason: object) -> None:
    with pytest.raises(SampleError) as caught:
        convert_caption(json.dumps({**caption("a", images["JPEG"], 0), **change}).encode())
    assert caught.value.reason is reason
