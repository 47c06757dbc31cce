"""All sources tokenised, chosen and packed, with an account of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.packed_corpus import pack_corpus
from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.source import open_sources
from oqvl_shards.errors import DataError


def test_every_source_is_accounted_for(
    captions: Path, conversations: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    mixture = [{"source": captions, "num_samples": 50}, {"source": conversations}]
    values = {"output": tmp_path / "out", "tokenizer": tokenizer_file, "visual_tokens_per_image": 4}
    config = PackConfig.model_validate({"mixture": mixture, "bin_capacity": 512, **values})
    sources = open_sources(config)
    corpus = pack_corpus(sources, Job(config, frozenset({"caption", "conversation"})))
    first, second = corpus.account(0), corpus.account(1)
    assert first.rejected == {"empty_text": 3, "image_broken": 3, "image_too_small": 3, "left_out_by_budget": 61}
    assert (first.num_in, first.num_kept) == (120, 50)
    assert (second.num_in, second.num_kept) == (60, 54)
    assert corpus.account().num_kept == len(corpus.lengths) == len(corpus.packs.documents) == 104
    assert corpus.num_tokens(0) + corpus.num_tokens(1) == corpus.lengths.sum()
    assert corpus.num_images.sum() == 50 + 54
    assert corpus.bounds.best <= corpus.packs.num_packs
    assert (corpus.lengths - corpus.num_stored == 3 * corpus.num_images).all()
    assert not config.output.exists()


def test_nothing_to_pack_names_the_reasons(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    config = PackConfig(source=captions, output=tmp_path, tokenizer=tokenizer_file, bin_capacity=5, overlong="drop")
    with pytest.raises(DataError, match=r"no sample of .*captions can be packed; rejected: .*'overlong': 111"):
        pack_corpus(open_sources(config), Job(config, frozenset({"caption"})))
