from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from oqvl_filter import run
from oqvl_filter.config import CheckConfig, ClipScorerConfig, DedupConfig, ScoreConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.clip import warn_of_look_alikes
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, HardwareError
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


@pytest.fixture
def pool(make_pool, pair, picture, plain_pairs) -> Dataset:
    """Seven good pairs, of which three share a caption, and three that cannot be scored."""
    good = plain_pairs(5)
    repeated = [pair(f"r{n}", picture((n * 80, 30, 99)), "caption 0", None) for n in range(2)]
    bad = [pair("x0", None, "no image"), pair("x1", picture(), " "), pair("x2", picture()[:50], "broken")]
    return make_pool([[*good[:3], bad[0], *repeated, bad[1], *good[3:], bad[2]]])


def scores_of(pool: Dataset, config: ClipScorerConfig) -> list:
    scorer = config.build(ReadLimits())
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
    scorer = ClipScorerConfig(name="clip", model=tiny_clip, batch_size=2).build(ReadLimits())
    encoded = []
    encode = scorer.encoder.encode_captions
    monkeypatch.setattr(
        scorer.encoder, "encode_captions", lambda captions: (encoded.extend(captions), encode(captions))[1]
    )
    with ShardReader(pool.path / "00000.tar") as reader:
        scorer.score_shard(reader, pool_samples(reader, "pool"))
    assert sorted(encoded) == ["broken", *(f"caption {n}" for n in range(5)), "no image"]


def test_the_fingerprint_is_of_what_decides_the_scores(tiny_clip: str, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    def fingerprint(model: str, **changes) -> str:
        scorer = ClipScorerConfig(name="clip", model=model, **changes).build(ReadLimits())
        found = scorer.fingerprint()
        assert "model" not in vars(scorer.encoder), "files on this machine are hashed without loading them"
        return found

    first = fingerprint(tiny_clip)
    moved = shutil.copytree(tiny_clip.removeprefix("local-dir:"), tmp_path / "moved")
    assert fingerprint(f"local-dir:{moved}", batch_size=3, decode_threads=0) == first
    changed = [fingerprint(tiny_clip, precision="bf16"), fingerprint(tiny_clip, decoder="fast")]
    weights = load_file(moved / "open_clip_model.safetensors")
    weights["logit_scale"] += 1e-3
    save_file(weights, moved / "open_clip_model.safetensors")
    assert len({first, *changed, fingerprint(f"local-dir:{moved}")}) == 4


def test_a_weights_file_of_a_named_model_is_hashed_without_loading_it(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"weights")
    config = ClipScorerConfig(name="clip", model="ViT-B-32", pretrained=str(tmp_path / "weights.pt"))
    scorer = config.build(ReadLimits())
    before = scorer.fingerprint()
    (tmp_path / "weights.pt").write_bytes(b"others")
    assert scorer.fingerprint() != before
    assert "model" not in vars(scorer.encoder)


@pytest.mark.parametrize(
    ("model", "hint"), [("local-dir:/not/there", "check scorer.model="), ("ViT-B-33", "near: ViT-B-32")]
)
def test_a_model_that_is_not_there_is_a_configuration_error(model: str, hint: str):
    with pytest.raises(ConfigError, match="open_clip cannot load") as error:
        ClipScorerConfig(name="clip", model=model).build(ReadLimits()).fingerprint()
    assert hint in error.value.hint
    assert len(error.value.message) < 200


def test_a_device_that_is_not_there_is_named(pool: Dataset, tiny_clip: str):
    with pytest.raises(HardwareError, match="'abacus'"):
        scores_of(pool, ClipScorerConfig(name="clip", model=tiny_clip, device="abacus"))


def test_threads_do_not_change_a_score_and_the_fast_decoder_little(pool: Dataset, tiny_clip: str):
    def scores(**changes) -> list[float]:
        rows = scores_of(pool, ClipScorerConfig(name="clip", model=tiny_clip, **changes))
        return [row["clip_score"] for row in rows if not isinstance(row, str)]

    exact = scores(decode_threads=0)
    assert scores(decode_threads=1) == scores(decode_threads=4) == exact
    assert np.abs(np.subtract(scores(decoder="fast"), exact)).max() < 0.01


def test_a_store_without_embeddings_does_not_pass_for_one_with_them(pool: Dataset, tiny_clip: str, tmp_path):
    def score(output: str, number: str):
        scorer = {"name": "clip", "model": tiny_clip, "image_embedding": number}
        config = {"pool": pool.path, "output": tmp_path / output, "scorer": scorer}
        return run.score(ScoreConfig.model_validate(config))

    plain, keeping = score("plain", "none"), score("keeping", "float16")
    assert keeping.fingerprint == plain.fingerprint
    with pytest.raises(ConfigError, match="another"):
        score("plain", "float16")
    assert run.check(CheckConfig(dataset=tmp_path / "keeping")).num_samples == 10
    found = run.dedup(
        DedupConfig(
            pools=(pool.path,),
            scores={"clip": (tmp_path / "keeping",)},
            column="clip.image_embedding",
            method="embedding",
            min_cosine=0.9999,
            output=tmp_path / "dedup",
        )
    )
    assert found.account.num_kept == 7


@pytest.mark.parametrize(
    ("model", "pretrained", "warns"),
    [
        ("ViT-B-16", "dfn2b", True),
        ("hf-hub:apple/DFN5B-CLIP-ViT-H-14", "", True),
        ("hf-hub:apple/DFN-public", "", False),
        ("ViT-B-32", "openai", False),
        ("local-dir:dfn", "", False),
    ],
)
def test_a_clip_trained_on_filtered_data_is_told_from_the_filter(caplog, model: str, pretrained: str, warns: bool):
    warn_of_look_alikes(model, pretrained)
    assert ("not a data filtering network" in caplog.text) is warns
