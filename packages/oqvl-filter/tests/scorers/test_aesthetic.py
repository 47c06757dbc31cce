from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from oqvl_filter import run
from oqvl_filter.config import AestheticScorerConfig, ScoreConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.aesthetic import AestheticScorer, read_head
from oqvl_filter.scorers.clip import OpenClipEncoder
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


def write_head(path: Path, dim: int = 16, bias: float = 5.0) -> Path:
    weight = np.random.default_rng(0).normal(size=(1, dim)).astype(np.float32)
    save_file({"linear.weight": weight, "linear.bias": np.array([bias], dtype=np.float32)}, path)
    return path


def test_the_score_is_the_heads_value_of_the_unit_embedding(make_pool, plain_pairs, pair, picture, tiny_clip, tmp_path):
    pool = make_pool([[*plain_pairs(4), pair("silent", picture(), None)]])
    head = write_head(tmp_path / "head.safetensors")
    scorer = AestheticScorer(AestheticScorerConfig(name="aesthetic", model=tiny_clip, head=head), ReadLimits())
    weight_D, bias = read_head(head)
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        rows = scorer.score_shard(reader, samples)
        for sample, row in zip(samples, rows, strict=True):
            pixels = scorer.encoder.preparation.pixels(reader.image(sample.sample)[1])
            (embedding_D,) = scorer.encoder.encode_images([pixels])
            assert np.linalg.norm(embedding_D) == pytest.approx(1, abs=1e-5)
            assert not isinstance(row, str)
            assert row["aesthetic_score"] == pytest.approx(float(embedding_D @ weight_D) + bias, abs=1e-5)
    assert len({row["aesthetic_score"] for row in rows if not isinstance(row, str)}) > 3


def test_the_head_belongs_to_the_fingerprint_and_to_one_model(make_pool, plain_pairs, tiny_clip, tmp_path: Path):
    def scorer(path: Path) -> AestheticScorer:
        return AestheticScorer(AestheticScorerConfig(name="aesthetic", model=tiny_clip, head=path), ReadLimits())

    one, other = (write_head(tmp_path / f"{bias}.safetensors", bias=bias) for bias in (1.0, 2.0))
    assert scorer(one).fingerprint() != scorer(other).fingerprint()
    narrow = write_head(tmp_path / "narrow.safetensors", dim=8)
    shard = make_pool([plain_pairs(1)]).path / "00000.tar"
    with ShardReader(shard) as reader, pytest.raises(ConfigError, match="a head for 8 dimensions"):
        scorer(narrow).score_shard(reader, pool_samples(reader, "pool"))


@pytest.fixture
def scored(make_pool, plain_pairs, pair, picture, tiny_clip, tmp_path) -> Callable[..., Path]:
    """A function that scores one pool of two shards, with one broken picture, under the tiny CLIP."""
    pool = make_pool([[*plain_pairs(2), pair("x", picture()[:30], "broken"), *plain_pairs(2, start=5)], plain_pairs(3)])

    def score(output: str, **scorer) -> Path:
        config = {"pool": pool.path, "output": tmp_path / output, "scorer": {"model": tiny_clip, **scorer}}
        run.score(ScoreConfig.model_validate(config))
        return tmp_path / output

    return score


def ratings(directory: Path) -> list[float | None]:
    return [
        rating
        for name in ("00000.parquet", "00001.parquet")
        for rating in read_table(directory / name)["aesthetic_score"].to_pylist()
    ]


@pytest.mark.parametrize(("number", "is_the_same"), [("float32", True), ("float16", False)])
def test_stored_embeddings_do_for_the_model(scored, tmp_path: Path, monkeypatch, number: str, is_the_same: bool):
    head = write_head(tmp_path / "head.safetensors")
    clip = scored("clip", name="clip", image_embedding=number)
    modelled = scored("modelled", name="aesthetic", head=head)
    monkeypatch.setattr(OpenClipEncoder, "encode_images", None)
    stored = scored("stored", name="aesthetic", head=head, model="", embeddings=clip)
    expected = ratings(modelled)
    assert expected[2] is None
    assert (ratings(stored) == expected) is is_the_same
    assert ratings(stored) == pytest.approx(expected, abs=1e-2, nan_ok=True)
    ours, theirs = (open_dataset(path).manifest for path in (stored, modelled))
    assert (ours.details == theirs.details) is is_the_same
    assert ours.account == theirs.account
    assert open_dataset(clip).manifest.digest() in ours.lineage.parents


def test_stored_embeddings_are_found_for_some_samples_of_a_shard(scored, tmp_path: Path):
    """As `estimate` asks for them."""
    head = write_head(tmp_path / "head.safetensors")
    clip = scored("clip", name="clip", image_embedding="float32")
    expected = ratings(scored("stored", name="aesthetic", head=head, model="", embeddings=clip))[:5]
    scorer = AestheticScorer(AestheticScorerConfig(name="aesthetic", head=head, embeddings=clip), ReadLimits())
    with ShardReader(tmp_path / "pool" / "00000.tar", name="00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        found = scorer.score_shard(reader, [samples[row] for row in (4, 2, 0)])
    given = [None if isinstance(row, str) else row["aesthetic_score"] for row in found]
    assert given == pytest.approx([expected[row] for row in (4, 2, 0)], abs=1e-5)


def test_scores_without_embeddings_or_of_another_pool_do_not_do(scored, make_pool, plain_pairs, tmp_path: Path):
    head = write_head(tmp_path / "head.safetensors")
    plain = scored("plain", name="clip")
    with pytest.raises(ConfigError, match="expected image_embedding"):
        scored("stored", name="aesthetic", head=head, model="", embeddings=plain)
    clip = scored("clip", name="clip", image_embedding="float16")
    other = make_pool([plain_pairs(3, start=50)], name="other")
    scorer = AestheticScorerConfig(name="aesthetic", head=head, embeddings=clip)
    with pytest.raises(ConfigError, match="of other samples"):
        run.score(ScoreConfig(pool=other.path, output=tmp_path / "wrong", scorer=scorer))
    with pytest.raises(ValidationError, match="give either model"):
        AestheticScorerConfig(name="aesthetic", head=head, model="m", embeddings=clip)


def test_what_is_no_head_is_refused(tmp_path: Path, tiny_clip: str):
    save_file({"a": np.zeros((2, 3), np.float32)}, tmp_path / "matrix.safetensors")
    with pytest.raises(ConfigError, match=r"\(2, 3\)"):
        read_head(tmp_path / "matrix.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="not a readable safetensors"):
        read_head(tmp_path / "junk.safetensors")
    with pytest.raises(ConfigError, match="no aesthetic head"):
        AestheticScorer(AestheticScorerConfig(name="aesthetic", model=tiny_clip, head=tmp_path / "none"), ReadLimits())
