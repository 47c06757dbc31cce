from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.embedding import cosines, unit_length
from oqvl_filter.scorers.image_pipeline import Preparation
from oqvl_shards.image import decode_image
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits


class Colours:
    """Embeds a picture as its colour, and a caption as the colour that it names."""

    def __init__(self) -> None:
        self.captions: list[str] = []
        self.batches: list[int] = []

    @property
    def preparation(self) -> Preparation:
        return Preparation(
            lambda content: torch.tensor(decode_image(content, ReadLimits()).getpixel((0, 0)), dtype=torch.float32)
        )

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> np.ndarray:
        self.batches.append(len(pixels))
        return unit_length(torch.stack(list(pixels)))

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        self.captions += captions
        names = ("red", "green", "blue")
        return unit_length(torch.tensor([[float(name in caption) for name in names] for caption in captions]))


def test_cosines_are_of_each_image_with_its_own_caption(make_pool, pair, picture):
    pairs = [
        pair("a", picture((200, 0, 0)), "red"),
        pair("b", picture((0, 200, 0)), "red"),
        pair("c", picture((200, 200, 0)), "red"),
        pair("d", picture((0, 0, 9)), "blue"),
        pair("e", picture()[:30], "red"),
        pair("f", picture((0, 0, 9)), None),
    ]
    encoder = Colours()
    with ShardReader(make_pool([pairs]).path / "00000.tar") as reader:
        found = cosines(reader, pool_samples(reader, "pool"), encoder, batch_size=3, num_threads=2)
    assert np.allclose(found[:4], [1, 0, 0.5**0.5, 1])
    assert [str(one) for one in found[4:]] == ["image_broken", "no_text"]
    assert encoder.captions == ["blue", "red"]
    assert encoder.batches == [3, 1]
