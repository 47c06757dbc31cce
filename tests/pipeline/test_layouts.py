"""Training on packs that point into their source shards is training on packs that hold their images."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oqvl_model.config import InitConfig
from oqvl_model.run import init
from oqvl_pack.config import PackConfig
from oqvl_pack.run import pack_dataset
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import open_dataset, write_manifest
from oqvl_shards.manifest import (
    Account,
    Details,
    ImageTextDetails,
    InterleavedDetails,
    Lineage,
    Manifest,
    PackedDetails,
)
from oqvl_shards.tar.writer import TarWriter
from oqvl_train.config import TrainConfig
from oqvl_train.run import train

VISUAL_TOKENS = 4
MODEL = {
    "name": "tiny",
    "visual_tokens_per_image": VISUAL_TOKENS,
    "vision": {
        "image_size": 12,
        "patch_size": 3,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_layers": 2,
        "num_attention_heads": 2,
    },
    "text": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    },
}
TRAINING = {
    "trainee": "oqvl_model.trainee:PackedTrainee",
    "stage": "pretrain",
    "num_epochs": 2,
    "global_batch_size": 2,
    "learning_rate": 1e-2,
    "precision": "fp32",
    "device": "cpu",
}


def picture(seed: int, form: str) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 15, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def write_dataset(directory: Path, name: str, details: Details, samples: list[dict[str, bytes]]) -> None:
    """Write samples ({suffix: content}) to two shards with a manifest."""
    shards = []
    for number in range(2):
        path, part = directory / f"{number:05d}.tar", samples[number::2]
        with TarWriter(path) as tar:
            for key, sample in enumerate(part):
                for suffix, content in sample.items():
                    tar.add(f"{key:06d}.{suffix}", content)
        shards.append(tar.shard(len(part), directory))
    account = Account(num_in=len(samples), num_kept=len(samples))
    lineage = Lineage.derive("test", "0", StageConfig())
    write_manifest(directory, Manifest(name=name, details=details, shards=shards, account=account, lineage=lineage))


def write_sources(directory: Path, first_picture: int) -> list[Path]:
    """Write captions, and documents of two pictures between texts."""
    captions = [
        {"jpg": picture(first_picture + seed, "JPEG"), "txt": f"picture {seed}".encode() * (1 + seed % 4)}
        for seed in range(14)
    ]
    places = {"texts": ["first", None, "then", None, "last"], "images": [None, "0.png", None, "1.jpg", None]}
    documents = [
        {
            "json": json.dumps(places).encode(),
            "0.png": picture(first_picture + 100 + seed, "PNG"),
            "1.jpg": picture(first_picture + 200 + seed, "JPEG"),
        }
        for seed in range(6)
    ]
    write_dataset(directory / "captions", "captions", ImageTextDetails(), captions)
    write_dataset(directory / "documents", "documents", InterleavedDetails(), documents)
    return [directory / "captions", directory / "documents"]


def pack_and_train(directory: Path, sources: list[Path], layout: str, name: str) -> None:
    """Pack `sources` to `packed-{name}`, and train the model on it to `name`."""
    captions, documents = sources
    packing = {
        "mixture": [{"source": captions, "num_samples": 11}, {"source": documents}],
        "tokenizer": directory / "tokenizer.json",
        "output": directory / f"packed-{name}",
        "layout": layout,
        "chunk_token": "",
        "bin_capacity": 96,
        "visual_tokens_per_image": VISUAL_TOKENS,
        "packs_per_shard": 3,
    }
    pack_dataset(PackConfig.model_validate(packing))
    paths = {"checkpoint": directory / "model", "packed": packing["output"], "output": directory / name}
    train(TrainConfig.model_validate({**TRAINING, **paths}))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """A model trained on the same documents in both layouts, and on documents of other pictures."""
    directory = tmp_path_factory.mktemp("layouts")
    tokenizer = directory / "tokenizer.json"
    tokenizer.write_bytes(make_tokenizer("qwen2"))
    init(InitConfig.model_validate({**MODEL, "tokenizer": tokenizer, "output": directory / "model"}))
    sources = write_sources(directory / "sources", first_picture=0)
    for layout in ("embedded", "reference"):
        pack_and_train(directory, sources, layout, layout)
    others = write_sources(directory / "other-sources", first_picture=1000)
    pack_and_train(directory, others, "reference", "others")
    return directory


def losses(directory: Path, name: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (directory / name / "metrics.jsonl").read_text().splitlines()]


def test_both_layouts_hold_the_same_documents(directory: Path):
    details = {}
    for layout in ("embedded", "reference"):
        manifest = open_dataset(directory / f"packed-{layout}").manifest
        assert isinstance(manifest.details, PackedDetails)
        assert manifest.details.layout == layout
        assert len(manifest.shards) > 1
        details[layout] = manifest.details.model_dump(exclude={"layout", "sources"})
    assert details["embedded"] == details["reference"]
    assert (details["embedded"]["num_documents"], details["embedded"]["num_images"]) == (17, 23)


def test_both_layouts_give_the_same_losses_and_weights(directory: Path):
    for file in ("metrics.jsonl", "model/model.safetensors"):
        contents = [(directory / layout / file).read_bytes() for layout in ("embedded", "reference")]
        assert contents[0] == contents[1], file


def test_other_pictures_give_other_losses(directory: Path):
    """So the losses above would differ if the references led to other bytes."""
    found, others = losses(directory, "reference"), losses(directory, "others")
    assert len(found) == len(others) > 4
    assert all(one != other for one, other in zip(found, others, strict=True))
