from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from oqvl_filter.clip import ClipScorer
from oqvl_filter.config import ClipScorerConfig
from oqvl_filter.pool import pool_samples
from oqvl_shards.errors import ConfigError, HardwareError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Dataset
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits


@pytest.fixture
def pool(make_pool, pair, picture, plain_pairs) -> Dataset:
    """Seven good pairs, of which three share a caption, and three that cannot be scored."""
    good = plain_pairs(5)
    repeated = [pair(f"r{n}", picture((n * 80, 30, 99)), "caption 0", None) for n in range(2)]
    bad = [pair("x0", None, "no image"), pair("x1", picture(), " "), pair("x2", picture()[:50], "broken")]
    return make_pool([[*good[:3], bad[0], *repeated, bad[1], *good[3:], bad[2]]])


def scores_of(pool: Dataset, config: ClipScorerConfig) -> list:
    scorer = ClipScorer(config, ReadLimits())
    with ShardReader(pool.path / "00000.tar") as reader:
        return scorer.score_shard(reader, pool_samples(reader, "pool"))


def test_scores_are_cosines_and_failures_have_names(pool: Dataset, tiny_clip: str):
    import open_clip
    import torch

    results = scores_of(pool, ClipScorerConfig(name="clip", model=tiny_clip))
    assert [str(result) for result in results if isinstance(result, str)] == ["no_image", "empty_text", "image_broken"]
    loaded: tuple[Any, ...] = open_clip.create_model_and_transforms(tiny_clip)
    model, _, preprocess = loaded
    tokenizer = open_clip.get_tokenizer(tiny_clip)
    with ShardReader(pool.path / "00000.tar") as reader, torch.inference_mode():
        for sample, result in zip(reader.samples, results, strict=True):
            if not isinstance(result, str):
                pixels = preprocess(decode_image(reader.image(sample)[1], ReadLimits())).unsqueeze(0)
                image = model.eval().encode_image(pixels)
                text = model.encode_text(tokenizer([reader.text(sample)]))
                expected = torch.nn.functional.cosine_similarity(image, text).item()
                assert result["clip_score"] == pytest.approx(expected, abs=1e-5)


def test_the_batch_size_moves_a_score_by_rounding_alone(pool: Dataset, tiny_clip: str):
    runs = [
        [
            row["clip_score"]
            for row in scores_of(pool, ClipScorerConfig(name="clip", model=tiny_clip, batch_size=size))
            if not isinstance(row, str)
        ]
        for size in (1, 3, 64)
    ]
    assert len(set(runs[0])) == 7
    for one, other in itertools.combinations(runs, 2):
        assert np.abs(np.subtract(one, other)).max() <= 1e-5


def test_a_caption_is_encoded_once(pool: Dataset, tiny_clip: str, monkeypatch: pytest.MonkeyPatch):
    scorer = ClipScorer(ClipScorerConfig(name="clip", model=tiny_clip, batch_size=2), ReadLimits())
    encoded = []
    encode = scorer._tokenizer
    monkeypatch.setattr(scorer, "_tokenizer", lambda captions: (encoded.extend(captions), encode(captions))[1])
    with ShardReader(pool.path / "00000.tar") as reader:
        scorer.score_shard(reader, pool_samples(reader, "pool"))
    assert sorted(encoded) == ["broken", *(f"caption {n}" for n in range(5)), "no image"]


def test_the_fingerprint_is_of_what_decides_the_scores(tiny_clip: str, tmp_path):
    import shutil

    import torch

    first = ClipScorer(ClipScorerConfig(name="clip", model=tiny_clip), ReadLimits())
    moved = shutil.copytree(tiny_clip.removeprefix("local-dir:"), tmp_path / "moved")
    same = ClipScorer(ClipScorerConfig(name="clip", model=f"local-dir:{moved}", batch_size=3), ReadLimits())
    assert first.fingerprint() == same.fingerprint()
    half = ClipScorer(ClipScorerConfig(name="clip", model=tiny_clip, precision="bf16"), ReadLimits())
    with torch.no_grad():
        same.model.logit_scale += 1e-3
    assert len({scorer.fingerprint() for scorer in (first, same, half)}) == 3


@pytest.mark.parametrize("model", ["local-dir:/not/there", "ViT-Z-99"])
def test_a_model_that_is_not_there_is_a_configuration_error(model: str):
    with pytest.raises(ConfigError, match="open_clip cannot load"):
        ClipScorer(ClipScorerConfig(name="clip", model=model), ReadLimits())


def test_a_device_that_is_not_there_is_named(tiny_clip: str):
    with pytest.raises(HardwareError, match="'abacus'"):
        ClipScorer(ClipScorerConfig(name="clip", model=tiny_clip, device="abacus"), ReadLimits())
