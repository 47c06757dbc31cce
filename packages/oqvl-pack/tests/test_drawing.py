"""The picture of a pack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oqvl_pack.config import PackConfig
from oqvl_pack.drawing import draw_pack
from oqvl_pack.run import pack_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.packed import PackedReader

DARK, GREY = (20, 20, 20), (236, 236, 236)


@pytest.fixture
def reader(captions: Path, tokenizer_file: Path, tmp_path: Path) -> PackedReader:
    paths = {"source": captions, "output": tmp_path / "packed", "tokenizer": tokenizer_file}
    sizes = {"bin_capacity": 256, "visual_tokens_per_image": 16}
    pack_dataset(PackConfig.model_validate({**paths, **sizes}))
    return PackedReader(tmp_path / "packed")


def share(path: Path, color: tuple[int, int, int]) -> float:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return float((pixels == color).all(axis=-1).mean())


def test_band_and_grey_follow_the_record(reader: PackedReader, tmp_path: Path) -> None:
    path = tmp_path / "pack.png"
    emptiest = min(reader, key=lambda pack: pack.record.num_tokens)
    draw_pack(emptiest, reader.details, path)
    # The strip has 96 rows of pixels a row of tokens, the band of targets 10 of them.
    strip = 4 * 96 * 1536
    with Image.open(path) as image:
        num_pixels = image.width * image.height
    empty = 1 - emptiest.record.num_tokens / 256
    targets = emptiest.record.is_target.sum() / 256
    assert share(path, GREY) * num_pixels / strip == pytest.approx(empty, abs=0.02)
    assert share(path, DARK) * num_pixels / strip == pytest.approx(targets * 10 / 96, abs=0.01)


def test_text_needs_a_readable_tokenizer(reader: PackedReader, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        draw_pack(reader[0], reader.details, tmp_path / "pack.png", tmp_path / "bad.json")
    assert not (tmp_path / "pack.png").exists()


def test_text_needs_the_tokenizer_that_packed(reader: PackedReader, tokenizer_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(tokenizer_file.read_bytes() + b"\n")
    with pytest.raises(ConfigError, match=r"other\.json has sha256"):
        draw_pack(reader[0], reader.details, tmp_path / "pack.png", other)
    assert draw_pack(reader[0], reader.details, tmp_path / "pack.png", tokenizer_file) == 0


def test_an_image_that_cannot_be_decoded_is_crossed_out(reader: PackedReader, tmp_path: Path) -> None:
    pack = reader[0]
    broken = replace(pack, images=(pack.images[0][:150], *pack.images[1:]))
    assert draw_pack(broken, reader.details, tmp_path / "broken.png") == 1
    black = (0, 0, 0)
    draw_pack(pack, reader.details, tmp_path / "whole.png")
    assert share(tmp_path / "broken.png", black) > share(tmp_path / "whole.png", black)
