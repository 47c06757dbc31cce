"""What a gallery shows: the pixels, the text and the problems of samples, whatever shard they are in."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oqvl_filter.pages.gallery import (
    MAX_CAPTION,
    THUMBNAIL_SIDE,
    find_pictures,
    picture_of_file,
    shorten,
    thumbnail,
)
from oqvl_filter.pool import pool_samples
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import write_manifest
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.tar.writer import TarWriter


def opened(source: str) -> Image.Image:
    """The picture in a `data:` address."""
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")


def encoded(image: Image.Image, format_: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 400))
def test_a_thumbnail_fits_and_never_grows(width: int, height: int):
    size = opened(thumbnail(Image.new("RGB", (width, height)))).size
    scale = min(1.0, THUMBNAIL_SIDE / max(width, height))
    assert max(size) == min(max(width, height), THUMBNAIL_SIDE)
    assert abs(size[0] - width * scale) <= 1 and abs(size[1] - height * scale) <= 1


@settings(max_examples=30)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_thumbnail_has_the_colour_of_its_picture(colour: tuple[int, int, int]):
    image = Image.new("RGB", (300, 200), colour)
    pixels = np.asarray(opened(thumbnail(image)), dtype=int)
    assert np.abs(pixels - np.array(colour)).max() <= 6
    assert image.size == (300, 200), "the picture itself is left alone"


def halves(left: str, right: str, size: tuple[int, int] = (64, 32)) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def is_red(image: Image.Image, place: tuple[int, int]) -> bool:
    pixel = image.getpixel(place)
    assert isinstance(pixel, tuple)
    return pixel[0] > 200 and max(pixel[1:]) < 60


@pytest.mark.parametrize(("orientation", "red_at"), [(1, (8, 16)), (3, (56, 16)), (6, (16, 8)), (8, (16, 56))])
def test_a_picture_is_shown_upright(orientation: int, red_at: tuple[int, int]):
    """The red half is on the left of the stored pixels; EXIF's orientation says how to turn them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(halves("red", "blue"), "JPEG", exif=exif, quality=95)
    shown = opened(picture_of_file("b", "q", content, ReadLimits()).source)
    assert shown.size == ((64, 32) if orientation < 5 else (32, 64))
    assert is_red(shown, red_at)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_every_kind_of_image_file_is_shown(format_: str, mode: str):
    if (format_, mode) in (("JPEG", "P"), ("JPEG", "RGBA")):
        mode = "CMYK"
    content = encoded(halves("red", "blue").convert(mode), format_)
    picture = picture_of_file("b", "q", content, ReadLimits())
    assert (picture.problem, opened(picture.source).size) == ("", (64, 32))
    assert (picture.pool, picture.key, picture.shard, picture.uid) == ("b", "q", "", "")


@pytest.mark.parametrize(
    ("content", "limits", "problem"),
    [
        (b"", {}, "image_broken"),
        (b"GIF89a", {}, "image_broken"),
        (encoded(halves("red", "blue"), "PNG")[:-30], {}, "image_broken"),
        (encoded(halves("red", "blue"), "PNG"), {"max_image_pixels": 64 * 32 - 1}, "image_too_large"),
        (encoded(halves("red", "blue"), "PNG"), {"min_image_side": 33}, "image_too_small"),
    ],
)
def test_a_picture_that_cannot_be_shown_has_its_reason(content: bytes, limits: dict, problem: str):
    picture = picture_of_file("b", "q", content, ReadLimits(**limits))
    assert picture.source == ""
    assert picture.problem == problem


@settings(max_examples=40)
@given(st.text(max_size=50).map(lambda text: text * 20))
def test_a_shortened_text_prints_on_one_line(text: str):
    shown = shorten(text)
    assert len(shown) <= MAX_CAPTION
    assert shown.isprintable()
    assert shown == shown.strip()
    assert "  " not in shown


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=MAX_CAPTION))
def test_a_text_that_prints_and_fits_is_left_alone(text: str):
    assert shorten(text) == text


@given(st.integers(MAX_CAPTION + 1, 2000))
def test_a_text_that_is_cut_ends_in_an_ellipsis(length: int):
    shown = shorten("é" * length)
    assert shown == "é" * (MAX_CAPTION - 1) + "…"


def test_what_can_be_read_of_a_sample_is_shown_beside_its_problem(make_pool, pair, picture, uid_of):
    good = picture((200, 10, 10), (90, 60))
    pairs = [
        pair("whole", good, "Ünïcödé \U0001f600 日本", uid_of(0)),
        pair("no-text", good, None, uid_of(1)),
        pair("blank", good, " \n ", uid_of(2)),
        pair("no-image", None, "words", uid_of(3)),
        pair("broken", good[:50], "words", uid_of(4)),
        pair("after", good, "the last one", uid_of(5)),
    ]
    pictures = find_pictures(make_pool([pairs]), map(uid_of, range(6)), ReadLimits())
    shown = {picture.key: (picture.caption, bool(picture.source), picture.problem) for picture in pictures.values()}
    assert shown == {
        "whole": ("Ünïcödé \U0001f600 日本", True, ""),
        "no-text": ("", True, "no_text"),
        "blank": ("", True, "empty_text"),
        "no-image": ("words", False, "no_image"),
        "broken": ("words", False, "image_broken"),
        "after": ("the last one", True, ""),
    }


def test_a_sample_with_broken_json_is_shown_by_its_derived_uid(make_pool, pair, picture):
    pool = make_pool([[pair("a", picture(), "x", json=b"{")]])

    with ShardReader(pool.path / "00000.tar") as reader:
        (sample,) = pool_samples(reader, "pool")
    (shown,) = find_pictures(pool, [sample.uid.value], ReadLimits()).values()
    assert (shown.problem, shown.caption, shown.source) == ("not_json", "", "")


def test_a_key_that_turns_the_text_around_does_not_print(make_pool, pair, picture, uid_of):
    pool = make_pool([[pair("a\u202egpj", picture(), "x", uid_of(0))]])
    (shown,) = find_pictures(pool, [uid_of(0)], ReadLimits()).values()
    assert shown.key == "a\ufffdgpj"
    assert picture_of_file("b", "a\u202egpj", picture(), ReadLimits()).key == "a\ufffdgpj"


@settings(max_examples=15)
@given(st.sets(st.integers(0, 11), min_size=1), st.lists(st.integers(0, 5), max_size=4))
def test_likely_shards_change_how_fast_a_sample_is_found_and_nothing_else(
    twelve_samples, uid_of, wanted: set[int], likely: list[int]
):
    pictures = find_pictures(twelve_samples, map(uid_of, wanted), ReadLimits(), likely)
    assert {uid_of(number) for number in wanted} == pictures.keys()
    for number in wanted:
        shown = pictures[uid_of(number)]
        assert (shown.shard, shown.caption) == (f"{number // 4:05d}.tar", f"caption {number}")


@pytest.fixture(scope="module")
def twelve_samples(tmp_path_factory, plain_pairs):
    """A pool of three shards with four samples each."""

    directory = tmp_path_factory.mktemp("twelve")
    shards = []
    for index in range(3):
        with TarWriter(directory / f"{index:05d}.tar") as tar:
            for pair in plain_pairs(4, start=4 * index):
                for name, content in pair.members():
                    tar.add(name, content)
        shards.append(tar.shard(4, directory))
    return write_manifest(
        directory,
        Manifest(
            name="twelve",
            details=ImageTextDetails(),
            shards=tuple(shards),
            account=Account(num_in=12, num_kept=12),
            lineage=Lineage.derive("test", "0", StageConfig()),
        ),
    )
