import subprocess
import sys
from typing import Any

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import describe_file, write_manifest
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, PackedDetails, ScoresDetails
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.webdataset_bridge import to_webdataset

PACKED = PackedDetails(
    bin_capacity=8,
    visual_tokens_per_image=4,
    image_token_id=1,
    pad_token_id=0,
    vocab_size=10,
    tokenizer_sha256="0" * 64,
    num_documents=4,
    num_images=4,
    num_tokens=20,
    num_target_tokens=4,
    lower_bound=4,
)


def make_dataset(directory, suffixes, details=None, num_shards=3):
    shards = []
    for shard in range(num_shards):
        with TarWriter(directory / f"{shard}.tar") as writer:
            for sample in range(4):
                for suffix in suffixes:
                    writer.add(f"{shard}{sample}.{suffix}", f"{shard}{sample}{suffix}".encode())
        shards.append(writer.shard(4, directory))
    manifest = Manifest(
        name="pool",
        details=details or ImageTextDetails(),
        shards=tuple(shards),
        account=Account(num_in=4 * num_shards, num_kept=4 * num_shards),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    return write_manifest(directory, manifest)


def keys(pipeline):
    return [sample["__key__"] for sample in pipeline]


def test_samples_are_those_of_webdataset(tmp_path):
    import webdataset

    dataset = make_dataset(tmp_path, ["jpg", "txt", "001.png"])
    paths = [str(dataset.shard_path(shard)) for shard in dataset.manifest.shards]
    expected = list(webdataset.WebDataset(paths, shardshuffle=False))
    for sample in expected:
        sample.pop("__local_path__")
    assert list(to_webdataset(dataset)) == expected


def test_only_readable_members_reach_the_pipeline(tmp_path):
    dataset = make_dataset(tmp_path, ["jpg", "pkl", "pyd"])
    assert all(set(sample) == {"__key__", "__url__", "jpg"} for sample in to_webdataset(dataset))


def test_packs_come_as_raw_members(tmp_path):
    sample = next(iter(to_webdataset(make_dataset(tmp_path, ["safetensors", "000.jpg"], PACKED))))
    assert (sample["safetensors"], sample["000.jpg"]) == (b"00safetensors", b"00000.jpg")


def test_stages_of_webdataset_compose(tmp_path):
    pipeline: Any = to_webdataset(make_dataset(tmp_path, ["txt"])).decode().to_tuple("__key__", "txt").batched(5)
    batch_keys, texts = next(iter(pipeline))
    assert list(batch_keys) == ["00", "01", "02", "03", "10"]
    assert list(texts) == [f"{key}txt" for key in batch_keys]


def test_shuffling_is_given_by_seed_and_epoch(tmp_path):
    dataset = make_dataset(tmp_path, ["txt"])
    first = to_webdataset(dataset, shuffle=12, seed=1)
    one, two = keys(first), keys(first)
    assert sorted(one) == sorted(two) == keys(to_webdataset(dataset))
    assert one != two
    again = to_webdataset(dataset, shuffle=12, seed=1)
    assert [keys(again), keys(again)] == [one, two]
    assert keys(to_webdataset(dataset, shuffle=12, seed=2)) != one


@pytest.mark.parametrize("shuffle", [0, 5])
def test_every_shard_goes_to_one_worker_of_one_node(tmp_path, monkeypatch, shuffle):
    dataset = make_dataset(tmp_path, ["txt"], num_shards=5)
    seen = []
    for rank in range(2):
        for worker in range(2):
            for variable, value in {"RANK": rank, "WORLD_SIZE": 2, "WORKER": worker, "NUM_WORKERS": 2}.items():
                monkeypatch.setenv(variable, str(value))
            seen += keys(to_webdataset(dataset, shuffle=shuffle, seed=3))
    assert sorted(seen) == sorted(f"{shard}{sample}" for shard in range(5) for sample in range(4))


def test_a_shard_that_lost_samples_is_an_error(tmp_path):
    dataset = make_dataset(tmp_path, ["jpg", "txt"])
    path = tmp_path / "1.tar"
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(DataError, match=r"1\.tar: found 0 samples, expected 4"):
        list(to_webdataset(dataset))


def test_other_kinds_are_refused(tmp_path):
    (tmp_path / "0.parquet").write_bytes(b"x")
    manifest = Manifest(
        name="scores",
        details=ScoresDetails(scorer="clip", fingerprint="0" * 64, columns=()),
        shards=(describe_file(tmp_path / "0.parquet", tmp_path, 1),),
        account=Account(num_in=1, num_kept=1),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    with pytest.raises(ManifestError, match="kind scores, expected one of conversation, image_text"):
        to_webdataset(write_manifest(tmp_path, manifest))


def test_webdataset_is_imported_on_use_only():
    code = "import sys, oqvl_shards.webdataset_bridge; sys.exit('webdataset' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
