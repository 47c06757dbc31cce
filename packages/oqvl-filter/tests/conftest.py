"""What several tests share: small pools of real pictures, and a tiny CLIP."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, write_manifest
from oqvl_shards.manifest import Account, BenchmarkDetails, ImageTextDetails, Lineage, Manifest
from oqvl_shards.tar.writer import TarWriter

UidOf = Callable[[int], str]
Picture = Callable[..., bytes]


@pytest.fixture(scope="session")
def uid_of() -> UidOf:
    """A function from a number to a uid that has nothing to do with the number's size."""
    return _uid_of


@pytest.fixture(scope="session")
def picture() -> Picture:
    """A function from a colour and a size to a PNG."""
    return _picture


def _uid_of(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def _picture(colour: tuple[int, int, int] = (9, 9, 9), size: tuple[int, int] = (24, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Pair:
    """A sample to write; None leaves the member out."""

    key: str
    image: bytes | None
    caption: str | None
    uid: str | None = None
    json: bytes | None = None

    def members(self) -> list[tuple[str, bytes]]:
        metadata = self.json if self.json is not None else json.dumps({"uid": self.uid}).encode() if self.uid else None
        contents = {"png": self.image, "txt": None if self.caption is None else self.caption.encode(), "json": metadata}
        return [(f"{self.key}.{suffix}", content) for suffix, content in contents.items() if content is not None]


@pytest.fixture(scope="session")
def pair() -> type[Pair]:
    """The class of samples that `make_pool` writes."""
    return Pair


@pytest.fixture(scope="session")
def plain_pairs() -> Callable[..., list[Pair]]:
    """A function from a number (and a first number) to distinct, usable pairs."""
    return _plain_pairs


def _plain_pairs(count: int, start: int = 0) -> list[Pair]:
    numbers = range(start, start + count)
    return [
        Pair(
            key=f"{n:06d}",
            image=_picture((n * 37 % 256, n * 11 % 256, n * 7 % 256), (20 + n % 5, 16)),
            caption=f"caption {n}",
            uid=_uid_of(n),
        )
        for n in numbers
    ]


PoolMaker = Callable[..., Dataset]


def write_pool(directory: Path, shards: Sequence[Sequence[Pair]], name: str = "pool") -> Dataset:
    """Write `shards` as a dataset of kind image_text."""
    entries = []
    for index, pairs in enumerate(shards):
        with TarWriter(directory / f"{index:05d}.tar") as tar:
            for pair in pairs:
                for member, content in pair.members():
                    tar.add(member, content)
        entries.append(tar.shard(len(pairs), directory))
    count = sum(map(len, shards))
    manifest = Manifest(
        name=name,
        details=ImageTextDetails(),
        shards=tuple(entries),
        account=Account(num_in=count, num_kept=count),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    return write_manifest(directory, manifest)


@pytest.fixture
def make_pool(tmp_path: Path) -> PoolMaker:
    """Write pools below the test's directory."""

    def make(shards: Sequence[Sequence[Pair]], name: str = "pool") -> Dataset:
        return write_pool(tmp_path / name, shards, name)

    return make


@pytest.fixture
def make_benchmark(tmp_path: Path) -> Callable[[dict[str, list[bytes]]], Dataset]:
    """Write items and their pictures as a dataset of kind benchmark."""

    def make(items: dict[str, list[bytes]]) -> Dataset:
        directory = tmp_path / "benchmark"
        directory.mkdir()
        path = directory / "items.parquet"
        images = [[{"bytes": image, "path": "x"} for image in each] for each in items.values()]
        pq.write_table(pa.table({"item_id": list(items), "images": images}), path, row_group_size=2)
        count = len(items)
        manifest = Manifest(
            name="bench",
            details=BenchmarkDetails(task="bench"),
            shards=(describe_file(path, directory, count),),
            account=Account(num_in=count, num_kept=count),
            lineage=Lineage.derive("test", "0", StageConfig()),
        )
        return write_manifest(directory, manifest)

    return make


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name under which open_clip loads a CLIP of 2 + 2 layers with seeded random weights."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    directory = tmp_path_factory.mktemp("tiny-clip")
    settings: dict[str, Any] = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    torch.manual_seed(0)
    save_file(CLIP(**settings).state_dict(), directory / "open_clip_model.safetensors")
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": {}}))
    return f"local-dir:{directory}"
