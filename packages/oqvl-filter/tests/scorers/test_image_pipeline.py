from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.image_pipeline import (
    Preparation,
    image_tensor,
    prepared_batches,
    processor_preparation,
    torchvision_preparation,
)
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


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


def prepared(preparation: Preparation, content: bytes) -> torch.Tensor:
    return preparation.batch([preparation.pixels(content)], "cpu", torch.float32)[0]


def levels_apart(model: str, content: bytes) -> torch.Tensor:
    """How far `fast` is from `exact` for one of `MODELS`, in 255ths."""
    exact, fast = (prepared(MODELS[model](decoder), content) for decoder in ("exact", "fast"))
    assert exact.shape == fast.shape == (3, 64, 64)
    std = (0.5, 0.5, 0.5) if model == "siglip" else (0.26862954, 0.26130258, 0.27577711)
    return (exact - fast).abs() * torch.tensor(std).view(3, 1, 1) * 255


def processor_of(name: str) -> Any:
    import transformers

    if name == "siglip":
        return transformers.SiglipImageProcessor(size={"height": 64, "width": 64})
    return transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


MODELS: dict[str, Any] = {
    "shortest": lambda decoder: torchvision_preparation(steps_of("shortest"), ReadLimits(), decoder),
    "squash": lambda decoder: torchvision_preparation(steps_of("squash"), ReadLimits(), decoder),
    "longest": lambda decoder: torchvision_preparation(steps_of("longest"), ReadLimits(), decoder),
    "siglip": lambda decoder: processor_preparation(processor_of("siglip"), ReadLimits(), decoder),
    "clip": lambda decoder: processor_preparation(processor_of("clip"), ReadLimits(), decoder),
}


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_exact_is_the_models_own_preprocessing(resize_mode: str):
    steps = steps_of(resize_mode=resize_mode)
    for size in [(200, 150), (64, 64), (30, 90)]:
        content = photo(size, 0)
        expected = steps(decode_image(content, ReadLimits()))
        assert torch.equal(prepared(torchvision_preparation(steps, ReadLimits(), "exact"), content), expected)


@pytest.mark.parametrize("model", ["shortest", "squash", "siglip", "clip"])
@pytest.mark.parametrize("size", [(224, 168), (90, 400), (50, 40)])
def test_fast_drifts_by_rounding_alone(model: str, size: tuple[int, int]):
    """Measured: at most 2 of 255 levels, 0.17 on average."""
    for seed in range(4):
        levels = levels_apart(model, photo(size, seed))
        assert levels.max() < 3
        assert levels.mean() < 0.25


@pytest.mark.parametrize("model", ["shortest", "squash", "siglip", "clip"])
@pytest.mark.parametrize("size", [(512, 384), (1100, 600)])
def test_fast_drifts_further_where_a_jpeg_is_decoded_at_a_part_of_its_size(model: str, size: tuple[int, int]):
    """Measured: at most 6 of 255 levels, 0.24 on average; on photographs of 3 and 4 megapixels at 224, 7 and 0.3."""
    for seed in range(4):
        levels = levels_apart(model, photo(size, seed))
        assert 1 < levels.max() < 10
        assert levels.mean() < 0.5


def test_what_fast_does_not_know_is_exact():
    assert not levels_apart("longest", photo((200, 150), 0)).any()


@pytest.mark.parametrize(
    "changes", [{"do_normalize": False}, {"rescale_factor": 1.0}, {"size": {"longest_edge": 64}}, {"resample": 0}]
)
def test_a_processor_that_does_anything_else_is_exact(changes: dict[str, Any]):
    process = processor_of("siglip")
    for name, value in changes.items():
        setattr(process, name, value)
    assert processor_preparation(process, ReadLimits(), "fast").normalise is None


@pytest.mark.parametrize("size", [(7, 5), (2100, 2100)])
def test_pixels_are_read_where_pillow_has_them_or_else_copied(size: tuple[int, int]):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    pixels_CHW = image_tensor(image)
    assert len(pixels_CHW) == (4 if size == (7, 5) else 3)
    assert np.array_equal(pixels_CHW[:3].permute(1, 2, 0).numpy(), np.asarray(image))
    expected = np.asarray(image)
    del image
    assert np.array_equal(pixels_CHW[:3].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("num_threads", [0, 1, 4])
def test_batches_are_whole_in_order_and_ahead_by_two_at_most(make_pool, plain_pairs, pair, picture, num_threads: int):
    pairs = [*plain_pairs(11), pair("x", picture()[:40], "broken"), *plain_pairs(3, start=20)]
    seen: list[bytes] = []
    lock = threading.Lock()

    def prepare(content: bytes) -> bytes:
        decode_image(content, ReadLimits())
        with lock:
            seen.append(content)
        return content

    with ShardReader(make_pool([pairs]).path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        results = [None] * len(samples)
        batches = []
        for batch in prepared_batches(
            reader, samples, range(len(samples)), prepare, batch_size=4, num_threads=num_threads, results=results
        ):
            batches.append(batch)
            assert len(seen) <= sum(map(len, batches)) + 8
        found = [entry for batch in batches for entry in batch]
        assert [len(batch) for batch in batches] == [4, 4, 4, 2]
        assert [index for index, _ in found] == [index for index in range(15) if results[index] is None]
        assert all(content == reader.image(samples[index].sample)[1] for index, content in found)
    assert [str(result) for result in results if result] == ["image_broken"]
