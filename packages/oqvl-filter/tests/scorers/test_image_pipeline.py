from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.image_pipeline import prepared_batches, torchvision_preparation
from oqvl_shards.image import decode_image
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits


def steps_of(resize_mode: str) -> Any:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(size=64, resize_mode=resize_mode), is_train=False)


def photo(size: tuple[int, int], seed: int) -> bytes:
    """A picture with edges and soft shades, as JPEG."""
    generator = np.random.default_rng(seed)
    image = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        corners = sorted(generator.integers(0, size[0], 2).tolist()), sorted(generator.integers(0, size[1], 2).tolist())
        colour = tuple(generator.integers(0, 256, 3).tolist())
        draw.ellipse((corners[0][0], corners[1][0], corners[0][1], corners[1][1]), fill=colour)
    buffer = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(1)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_exact_is_the_models_own_preprocessing(resize_mode: str):
    steps = steps_of(resize_mode=resize_mode)
    content = photo((200, 150), 0)
    expected = steps(decode_image(content, ReadLimits()))
    assert torch.equal(torchvision_preparation(steps, ReadLimits(), "exact")(content), expected)


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.parametrize("size", [(512, 384), (90, 400), (40, 30)])
def test_fast_drifts_by_rounding_alone(resize_mode: str, size: tuple[int, int]):
    """Measured: at most 2 of 255 levels from Pillow, 0.04 on average."""
    steps = steps_of(resize_mode=resize_mode)
    for seed in range(4):
        content = photo(size, seed)
        exact, fast = (torchvision_preparation(steps, ReadLimits(), decoder)(content) for decoder in ("exact", "fast"))
        levels = (exact - fast).abs() * torch.tensor(steps.transforms[-1].std).view(3, 1, 1) * 255
        assert exact.shape == fast.shape
        assert levels.max() < 3
        assert levels.mean() < 0.5
        assert not torch.equal(exact, fast)


def test_what_fast_does_not_know_is_exact():
    steps = steps_of(resize_mode="longest")
    content = photo((200, 150), 0)
    exact, fast = (torchvision_preparation(steps, ReadLimits(), decoder)(content) for decoder in ("exact", "fast"))
    assert torch.equal(exact, fast)


@pytest.mark.parametrize("num_threads", [0, 1, 4])
def test_batches_are_whole_in_order_and_ahead_by_two_at_most(make_pool, plain_pairs, pair, picture, num_threads: int):
    pairs = [*plain_pairs(11), pair("x", picture()[:40], "broken"), *plain_pairs(3, start=20)]
    prepared: list[bytes] = []
    lock = threading.Lock()

    def prepare(content: bytes) -> bytes:
        decode_image(content, ReadLimits())
        with lock:
            prepared.append(content)
        return content

    with ShardReader(make_pool([pairs]).path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        results = [None] * len(samples)
        batches = []
        for batch in prepared_batches(reader, samples, range(len(samples)), prepare, 4, num_threads, results):
            batches.append(batch)
            assert len(prepared) <= sum(map(len, batches)) + 8
        found = [entry for batch in batches for entry in batch]
        assert [len(batch) for batch in batches] == [4, 4, 4, 2]
        assert [index for index, _ in found] == [index for index in range(15) if results[index] is None]
        assert all(content == reader.image(samples[index].sample)[1] for index, content in found)
    assert [str(result) for result in results if result] == ["image_broken"]
