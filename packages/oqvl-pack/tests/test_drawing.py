"""The picture of a pack."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from oqvl_pack import drawing
from oqvl_pack.config import PackConfig
from oqvl_pack.drawing import draw_pack
from oqvl_pack.run import pack_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import ImageTextDetails
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


@pytest.mark.parametrize("capacity", [17, 63, 4096, 1 << 15, 1 << 20, (1 << 31) - 1])
def test_packs_of_any_capacity_can_be_drawn(
    make_dataset: Callable[..., Path], png: bytes, tokenizer_file: Path, tmp_path: Path, capacity: int
) -> None:
    # From 1 << 15 on, a row has more tokens than pixels; single tokens are drawn one pixel wide.
    source = make_dataset(tmp_path / "pairs", [[{"png": png, "txt": b"w" * 11}] * 3], ImageTextDetails())
    values = {"source": source, "output": tmp_path / "packed", "tokenizer": tokenizer_file, "bin_capacity": capacity}
    pack_dataset(PackConfig.model_validate({**values, "visual_tokens_per_image": 1}))
    reader = PackedReader(tmp_path / "packed")
    assert draw_pack(reader[0], reader.details, tmp_path / "pack.png") == 0
    assert share(tmp_path / "pack.png", DARK) > 0


@given(st.integers(1, 1 << 20), st.integers(0, 1 << 20), st.integers(1, 1 << 20))
def test_rectangles_follow_one_another(per_row: int, begin: int, num_tokens: int) -> None:
    end = begin + min(num_tokens, 20 * per_row)
    canvas = Image.new("RGB", (1, 1))
    boxes = drawing._Strip(canvas, ImageDraw.Draw(canvas), top=100, per_row=per_row).boxes(begin, end)
    rows = range(begin // per_row, (end - 1) // per_row + 1)
    assert [top for _, top, _, _ in boxes] == [100 + row * 106 for row in rows]
    assert {bottom - top for _, top, _, bottom in boxes} == {96}
    # All but the first begin at the left margin, all but the last end at the right one, and none is empty.
    assert all(left == 24 for left, _, _, _ in boxes[1:])
    assert all(right == 24 + 1536 for _, _, right, _ in boxes[:-1])
    assert all(24 <= left < right <= 24 + 1536 + 1 for left, _, right, _ in boxes)
    width = sum(right - left for left, _, right, _ in boxes)
    assert width == pytest.approx((end - begin) * 1536 / per_row, abs=2 * len(boxes))


@pytest.mark.parametrize(("width", "height"), [(3000, 5), (50, 3000), (2, 2), (1000, 1000), (2, 3000)])
def test_pictures_of_any_shape(reader: PackedReader, tmp_path: Path, width: int, height: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (250, 1, 2)).save(buffer, "PNG")
    pack = reader[0]
    shown = replace(pack, images=(buffer.getvalue(),) * len(pack.images))
    assert draw_pack(shown, reader.details, tmp_path / "pack.png") == 0
    assert share(tmp_path / "pack.png", (250, 1, 2)) > 0 or width == 2 < height  # no pixel is as thin as that


def test_a_pack_of_unreadable_pictures(reader: PackedReader, tmp_path: Path) -> None:
    pack = reader[0]
    garbage = (b"", b"GIF89a" + bytes(50), pack.images[0][:30], b"\x89PNG\r\n\x1a\n" + bytes(99))
    images = tuple(garbage[number % len(garbage)] for number in range(len(pack.images)))
    assert draw_pack(replace(pack, images=images), reader.details, tmp_path / "pack.png") == len(images)


def test_a_key_or_text_of_any_letters(reader: PackedReader, tmp_path: Path) -> None:
    pack = reader[0]
    keys = ("a\nb", "\u202egnp.exe", "日本語", "\0", "x" * 5000, "")
    names = tuple(keys[number % len(keys)] for number in range(len(pack.record.document_keys)))
    assert (
        draw_pack(replace(pack, record=replace(pack.record, document_keys=names)), reader.details, tmp_path / "p.png")
        == 0
    )
