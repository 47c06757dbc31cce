"""A tokenizer and two small source datasets, made on the spot."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import write_manifest
from oqvl_shards.manifest import (
    Account,
    ConversationDetails,
    Details,
    ImageTextDetails,
    InterleavedDetails,
    Lineage,
    Manifest,
)
from oqvl_shards.tar.writer import TarWriter


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs Ray where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("ray")])
        items[:] = [item for item in items if not item.get_closest_marker("ray")]


SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<s>", "<image>", "<|endofchunk|>"]


def byte_tokenizer() -> Tokenizer:
    """One token a byte, and the special tokens behind them (256 ... 262)."""
    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def picture(seed: int, side: int = 8, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def write_dataset(
    directory: Path, shards: Sequence[Sequence[Mapping[str, bytes]]], details: Details, name: str = "source"
) -> Path:
    """Write samples ({suffix: bytes}) as `00000.tar ...` with a manifest."""
    entries = []
    num_samples = 0
    for number, samples in enumerate(shards):
        path = directory / f"{number:05d}.tar"
        with TarWriter(path) as tar:
            for sample in samples:
                for suffix, data in sample.items():
                    tar.add(f"{num_samples:06d}.{suffix}", data)
                num_samples += 1
        entries.append(tar.shard(len(samples), directory))
    manifest = Manifest(
        name=name,
        details=details,
        shards=tuple(entries),
        account=Account(num_in=num_samples, num_kept=num_samples),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    write_manifest(directory, manifest)
    return directory


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    return write_dataset


@pytest.fixture(scope="session")
def png() -> bytes:
    return picture(1)


@pytest.fixture(scope="session")
def byte_tokenizer_json() -> bytes:
    return byte_tokenizer().to_str().encode()


@pytest.fixture
def tokenizer_file(tmp_path: Path, byte_tokenizer_json: bytes) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(byte_tokenizer_json)
    return path


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """Three shards of 40 image-text pairs; some samples cannot be packed."""
    rng = np.random.default_rng(0)
    shards = []
    for shard in range(3):
        samples: list[dict[str, bytes]] = [
            {"jpg": picture(100 * shard + i, form="JPEG"), "txt": b"w" * int(rng.integers(1, 60))} for i in range(40)
        ]
        samples[3] = {"png": picture(5), "json": json.dumps({"caption": "from json <image> <|im_end|>"}).encode()}
        samples[7] = {"jpg": b"no image", "txt": b"broken"}
        samples[8] = {"png": picture(6, side=1), "txt": b"one pixel"}
        samples[9] = {"jpg": picture(9, form="JPEG"), "txt": b"  "}
        shards.append(samples)
    return write_dataset(tmp_path / "captions", shards, ImageTextDetails())


def conversation(*turns: tuple[str, str]) -> bytes:
    return json.dumps({"conversations": [{"from": speaker, "value": value} for speaker, value in turns]}).encode()


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """Two shards of 30 conversations with no, one or two images, of one or two turns; some cannot be packed."""
    rng = np.random.default_rng(1)
    shards = []
    for shard in range(2):
        samples: list[dict[str, bytes]] = []
        for i in range(30):
            num_images = i % 3
            turns = [("human", "<image>\n" * num_images + "w" * int(rng.integers(1, 40))), ("gpt", "answer <image>")]
            if i % 2:
                turns += [("human", "again"), ("gpt", "b" * int(rng.integers(1, 30)))]
            images = {f"{number}.png": picture(1000 * shard + 10 * i + number) for number in range(num_images)}
            samples.append({"json": conversation(*turns), **images})
        samples[4] = {"json": conversation(("human", "<image> one mark, no image"), ("gpt", "a"))}
        samples[5] = {"json": conversation(("human", "no answer"))}
        samples[6] = {"json": conversation(("human", "empty answer"), ("gpt", " "))}
        shards.append(samples)
    return write_dataset(tmp_path / "conversations", shards, ConversationDetails(), "turns")


@pytest.fixture
def interleaved(tmp_path: Path) -> Path:
    """Two shards of 20 interleaved documents of one to three images; some cannot be packed, some end in an image."""
    shards = []
    for shard in range(2):
        samples: list[dict[str, bytes]] = []
        for i in range(20):
            num_images = 1 + i % 3
            texts: list[str | None] = ["intro" * (1 + i), *[None, "after <image>"] * num_images]
            images: list[str | None] = [None, *(one for n in range(num_images) for one in (f"{n}.png", None))]
            if i % 5 == 4:
                texts, images = texts[:-1], images[:-1]
            document = json.dumps({"texts": texts, "images": images, "tokens": [3 + n for n in range(num_images)]})
            files = {f"{n}.png": picture(500 * shard + 10 * i + n) for n in range(num_images)}
            samples.append({"json": document.encode(), **files})
        samples[0] = {"json": b'{"texts": ["a"], "images": ["0.png"]}', "0.png": picture(1)}
        samples[1] = {"json": b'{"texts": ["a", null], "images": [null, "1.png"]}', "0.png": picture(1)}
        samples[2] = {"json": b'{"texts": [null, "a"], "images": ["1.png", null]}', "0.png": picture(1)}
        shards.append(samples)
    return write_dataset(tmp_path / "interleaved", shards, InterleavedDetails(), "documents")
