from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.siglip import SiglipScorerConfig
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP of two layers a tower with seeded random weights, and a tokenizer of characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    directory = tmp_path_factory.mktemp("tiny-siglip")
    words = ["<pad>", "</s>", *map(chr, range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # pyrefly: ignore
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="</s>")
    processor: Any = SiglipProcessor(SiglipImageProcessor(size={"height": 16, "width": 16}), fast)
    processor.save_pretrained(directory)
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = SiglipConfig(
        text_config={**size, "vocab_size": len(words), "max_position_embeddings": 12},
        vision_config={**size, "image_size": 16, "patch_size": 8},
    )
    SiglipModel(config).save_pretrained(directory)
    return directory


def scores_of(pool, config: SiglipScorerConfig) -> list[float]:
    scorer = config.build(ReadLimits())
    with ShardReader(pool.path / "00000.tar") as reader:
        rows = scorer.score_shard(reader, pool_samples(reader, "pool"))
    return [row["siglip_score"] for row in rows if not isinstance(row, str)]


def test_scores_are_cosines_and_do_not_depend_on_the_batch(make_pool, plain_pairs, tiny_siglip: Path):
    from transformers import AutoModel, AutoProcessor

    pool = make_pool([plain_pairs(7)])
    model: Any = AutoModel.from_pretrained(tiny_siglip)
    processor: Any = AutoProcessor.from_pretrained(tiny_siglip)
    expected = []
    with ShardReader(pool.path / "00000.tar") as reader, torch.inference_mode():
        for sample in reader.samples:
            image = decode_image(reader.image(sample)[1], ReadLimits())
            inputs = processor(
                text=[reader.text(sample)], images=image, padding="max_length", max_length=12, return_tensors="pt"
            )
            outputs = model.eval()(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])
            expected.append((outputs.image_embeds * outputs.text_embeds).sum().item())
    for batch_size in (1, 3, 64):
        found = scores_of(pool, SiglipScorerConfig(name="siglip", model=str(tiny_siglip), batch_size=batch_size))
        assert np.abs(np.subtract(found, expected)).max() <= 1e-5
    assert len(set(expected)) == 7


def test_the_fingerprint_is_known_without_loading_the_model(tiny_siglip: Path):
    scorer = SiglipScorerConfig(name="siglip", model=str(tiny_siglip)).build(ReadLimits())
    half = SiglipScorerConfig(name="siglip", model=str(tiny_siglip), precision="bf16").build(ReadLimits())
    assert scorer.fingerprint() != half.fingerprint()
    assert "model" not in vars(scorer.encoder)


def test_the_fast_decoder_moves_a_score_little(make_pool, plain_pairs, tiny_siglip: Path):
    pool = make_pool([plain_pairs(7)])
    exact, fast = (
        scores_of(pool, SiglipScorerConfig(name="siglip", model=str(tiny_siglip), decoder=decoder))
        for decoder in ("exact", "fast")
    )
    assert np.abs(np.subtract(exact, fast)).max() < 0.01


def test_the_fast_decoder_is_told_by_the_fingerprint(tiny_siglip: Path):
    found = {
        SiglipScorerConfig(name="siglip", model=str(tiny_siglip), decoder=one).build(ReadLimits()).fingerprint()
        for one in ("exact", "fast")
    }
    assert len(found) == 2


def test_a_model_that_is_not_there_is_named(tmp_path: Path, make_pool, plain_pairs):
    with pytest.raises(ConfigError, match="cannot load"):
        scores_of(make_pool([plain_pairs(1)]), SiglipScorerConfig(name="siglip", model=str(tmp_path)))
