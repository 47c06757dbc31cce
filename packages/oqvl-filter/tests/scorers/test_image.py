from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from oqvl_filter.config import ImageScorerConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.image import ImageScorer, grey_entropy
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


def test_the_entropy_is_of_the_grey_values():
    assert grey_entropy(Image.new("RGB", (9, 9), "red")) == 0
    halves = np.zeros((4, 4), np.uint8)
    halves[:2] = 255
    assert grey_entropy(Image.fromarray(halves)) == pytest.approx(1)
    assert grey_entropy(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))) == pytest.approx(8)


@pytest.mark.parametrize("decode_threads", [0, 1, 3])
def test_pictures_are_measured_in_order(make_pool, pair, picture, decode_threads: int):
    pairs = [pair(f"{n:03d}", picture((n, n, n), (20 + n, 10)), "x") for n in range(70)]
    pairs[5] = pair("005", picture()[:40], "broken")
    pairs[6] = pair("006", None, "no image")
    pool = make_pool([pairs])
    scorer = ImageScorer(ImageScorerConfig(name="image", decode_threads=decode_threads), ReadLimits())
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        results = scorer.score_shard(reader, samples)
    for sample, result in zip(samples, results, strict=True):
        number = int(sample.sample.key)
        if isinstance(result, str):
            assert (number, str(result)) in [(5, "image_broken"), (6, "no_image")]
        else:
            assert (result["width"], result["min_side"], result["entropy"]) == (20 + number, 10, 0)
    assert sum(isinstance(result, str) for result in results) == 2
