"""All sources tokenised, chosen and packed, with an account of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus import packed_corpus
from oqvl_pack.corpus.packed_corpus import PackedCorpus, pack_corpus
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


def make_corpus(tokenizer: Path, output: Path, *mixture: Mapping[str, object]) -> PackedCorpus:
    values = {"output": output / "out", "tokenizer": tokenizer, "visual_tokens_per_image": 4, "bin_capacity": 512}
    config = PackConfig.model_validate({"mixture": mixture, **values})
    return pack_corpus(open_sources(config), Job(config, frozenset({"caption", "conversation", "interleaved"})))


def test_columns_are_those_of_packed_documents(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    whole = make_corpus(tokenizer_file, tmp_path, {"source": captions})
    some = make_corpus(tokenizer_file, tmp_path, {"source": captions, "num_samples": 30})
    assert len(whole.lengths) == 111 and len(some.lengths) == 30
    chosen = np.concatenate([shard.is_chosen for shard in some.input_shards if shard.is_chosen is not None])
    for column in ("lengths", "num_stored", "num_images", "image_bytes"):
        assert getattr(some, column).tolist() == getattr(whole, column)[chosen].tolist()
    assert sorted(zip(some.packs.shards.tolist(), some.packs.documents.tolist(), strict=True)) == [
        (shard.index, document)
        for shard in some.input_shards
        if shard.is_chosen is not None
        for document in np.flatnonzero(shard.is_chosen).tolist()
    ]


def test_budgets_are_compared_with_what_was_reached(
    captions: Path, conversations: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    mixture = {"source": captions, "weight": 1}, {"source": conversations, "num_samples": 9}
    corpus = make_corpus(tokenizer_file, tmp_path, *mixture)
    # A single weighted source is packed whole, and a number of samples is not a budget of tokens.
    [budget] = corpus.token_budgets
    assert (budget.name, budget.gap, budget.reached) == ("source", 0, corpus.num_tokens(0))
    assert corpus.asked_tokens == [corpus.num_tokens(0), None]


def test_statistics_add_up_over_shards(interleaved: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tokenizer_file, tmp_path, {"source": interleaved})
    assert corpus.statistics() == {"num_trailing_images_cut": 6}
    assert corpus.seconds_tokenizing > 0 < corpus.seconds_packing
    assert corpus.num_leftovers <= len(corpus.lengths)


def test_processes_pack_like_one(
    captions: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = make_corpus(tokenizer_file, tmp_path, {"source": captions})
    monkeypatch.setattr(packed_corpus, "_MIN_POOL_DOCUMENTS", 0)
    mapped = make_corpus(tokenizer_file, tmp_path, {"source": captions})
    for column in ("shards", "documents", "offsets"):
        assert getattr(mapped.packs, column).tolist() == getattr(alone.packs, column).tolist()


def test_a_budget_below_the_shortest_document_is_named(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    message = r"no sample of .*captions is packed: shares and budgets leave out all 111 documents"
    with pytest.raises(DataError, match=message) as caught:
        make_corpus(tokenizer_file, tmp_path, {"source": captions, "num_tokens": 3})
    assert "raise num_tokens" in caught.value.hint


def test_a_source_may_give_nothing_to_a_mixture(
    captions: Path, conversations: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    corpus = make_corpus(tokenizer_file, tmp_path, {"source": captions, "num_tokens": 3}, {"source": conversations})
    account = corpus.account(0)
    assert (account.num_in, account.num_kept, account.rejected["left_out_by_budget"]) == (120, 0, 111)
    [budget] = corpus.token_budgets
    assert (budget.asked, budget.reached, budget.gap) == (3, 0, 3)
    assert corpus.account(1).num_kept == corpus.account().num_kept == 54
    assert set(corpus.packs.shards.tolist()) == {3, 4}
