from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oqvl_filter.dedup.hamming import distances
from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.phash import PhashScorer, cosine_transform, perceptual_hash
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


def drawing(seed: int, side: int = 240) -> Image.Image:
    """A smooth random picture: what hashes are made for."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def apart(left: Image.Image, right: Image.Image) -> int:
    hashes = np.array([perceptual_hash(left), perceptual_hash(right)], dtype=np.uint64)
    return int(distances(hashes[:1], hashes[1:])[0])


def test_the_transform_is_the_cosine_transform_of_type_two():
    signal = [3.0, -1.0, 4.0, 1.0, -5.0]
    expected = [
        2 * sum(x * math.cos(math.pi * k * (2 * n + 1) / (2 * len(signal))) for n, x in enumerate(signal))
        for k in range(len(signal))
    ]
    assert np.allclose(cosine_transform(5) @ signal, expected)


def test_bits_are_frequencies_above_their_median_top_left_first():
    # A ramp from left to right: frequencies in the first row alone, the odd ones negative, and the mean.
    ramp = Image.fromarray(np.tile(np.arange(32, dtype=np.uint8) * 8, (32, 1)))
    bits = f"{perceptual_hash(ramp):064b}"
    assert bits[:8] == "10000000"
    back = Image.fromarray(np.tile(np.arange(32, dtype=np.uint8)[::-1] * 8, (32, 1)))
    assert f"{perceptual_hash(back):064b}"[:8] == "11010101"


def made(kind: str, width: int, height: int) -> Image.Image:
    """A picture by whole-number arithmetic alone, the same everywhere."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    patterns = {
        "rings": ((x - width // 3) ** 2 + (y - height // 2) ** 2) // 40,
        "weave": x * y // 7,
        "ramp": x * 255 // width,
        "noise": (x * 2654435761 + y * 40503) * 1103515245 // 65536,
        "blocks": (x // 23 + y // 17) % 2 * 200 + x // 5,
    }
    grey = patterns[kind]
    return Image.fromarray(np.stack([grey, grey * 3 + y, 255 - grey - x], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("rings", (32, 32), "aa71fc30af50d42b"),
        ("rings", (300, 200), "bbc7c403c780c7c7"),
        ("rings", (37, 91), "be2ad42ad4aad4a9"),
        ("weave", (32, 32), "89374953ad5b54a9"),
        ("weave", (300, 200), "80020b1f0f3f3f3f"),
        ("weave", (37, 91), "80275f7c6163666d"),
        ("ramp", (32, 32), "ab02552a456f3cd7"),
        ("ramp", (300, 200), "b8a9a3aeab2e0356"),
        ("ramp", (37, 91), "a903060bc65fc7d7"),
        ("noise", (32, 32), "80aabfd567e065a2"),
        ("noise", (300, 200), "feaa6820fd2a2aaa"),
        ("noise", (37, 91), "a8a280aaaabffd85"),
        ("blocks", (32, 32), "a425dada2525dada"),
        ("blocks", (300, 200), "c59c0f58b3aea827"),
        ("blocks", (37, 91), "b63636363636c949"),
    ],
)
def test_hashes_are_those_of_imagehash(kind: str, size: tuple[int, int], expected: str):
    """Expected: `str(imagehash.phash(image))` of ImageHash 4.3.2 with Pillow 13.0."""
    assert f"{perceptual_hash(made(kind, *size)):016x}" == expected


@given(st.integers(0, 30))
def test_what_leaves_the_picture_alone_moves_few_bits(seed: int):
    picture = drawing(seed)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30)
    assert apart(picture, Image.open(buffer).convert("RGB")) <= 4
    assert apart(picture, picture.resize((120, 120))) <= 4
    assert apart(picture, picture.convert("L").convert("RGB")) <= 2
    assert apart(picture, drawing(seed + 1000)) > 12


def test_samples_without_an_image_have_a_reason(make_pool, pair, picture):
    pool = make_pool([[pair("a", picture(), "x"), pair("b", picture()[:30], "x"), pair("c", None, "x")]])
    scorer = PhashScorer(ReadLimits())
    with ShardReader(pool.path / "00000.tar") as reader:
        found = scorer.score_shard(reader, pool_samples(reader, "pool"))
    assert [str(one) if isinstance(one, str) else set(one) for one in found] == [{"phash"}, "image_broken", "no_image"]


def test_the_fingerprint_follows_the_limits():
    assert PhashScorer(ReadLimits()).fingerprint() != PhashScorer(ReadLimits(min_image_side=9)).fingerprint()


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_a_plain_picture_has_no_more_than_its_mean(colour):
    assert perceptual_hash(Image.new("RGB", (50, 40), colour)) in (0, 1 << 63)
