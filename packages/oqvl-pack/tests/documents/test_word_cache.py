"""Word by word gives what the tokenizer gives; where that is not certain it is not done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Lowercase
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from tokenizers.trainers import BpeTrainer

from oqvl_pack.documents import word_cache
from oqvl_pack.documents.word_cache import WordCache

TEXT = "the cat's on the mat, isn't it? Of 1234 cats  \n\n 99 -- they'll say 'Meow'!\r\n\tx = y_1 + 'S'  "
WORDS = ["the", "cat", "'s", "'S", "'ll", "'", "1", "23", "--", "."]
SPACES = [" ", "  ", "\n", "\r\n", "\t", "\v", "\f", "\x1c", "\x85"]
PIECES = st.sampled_from(WORDS + SPACES)
TEXTS = st.lists(st.one_of(PIECES, st.text(st.characters(max_codepoint=127), max_size=4)), max_size=12).map("".join)


def make_tokenizer(pattern: str | None, normalizer: object = None) -> Tokenizer:
    """Train a byte-level BPE that cuts by `pattern`; None: as GPT-2 does."""
    tokenizer = Tokenizer(BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer  # pyrefly: ignore
    byte_level = ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [] if pattern is None else [Split(Regex(pattern), "isolated")]
    tokenizer.pre_tokenizer = Sequence([*split, byte_level]) if split else byte_level  # pyrefly: ignore
    alphabet = ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [TEXT] * 3, BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    )
    tokenizer.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.encode_special_tokens = True
    return tokenizer


QWEN2 = make_tokenizer(word_cache._QWEN2_PATTERN, NFC())
GPT2 = make_tokenizer(None)


def encode(cache: WordCache, texts: list[str]) -> list[list[int]]:
    return [np.frombuffer(ids, dtype=np.int32).tolist() for ids in cache.encode(texts)]


@pytest.mark.parametrize("tokenizer", [QWEN2, GPT2], ids=["qwen2", "gpt2"])
@given(st.lists(st.one_of(TEXTS, st.text(max_size=6), st.sampled_from(["a <tool> b", "<image> c", "é 1"])), max_size=5))
def test_ids_are_those_of_the_tokenizer(tokenizer: Tokenizer, texts: list[str]) -> None:
    cache = WordCache(tokenizer)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    assert encode(cache, texts) == expected
    assert encode(cache, texts) == expected  # the second time from the cache


@pytest.mark.parametrize("tokenizer", [QWEN2, GPT2], ids=["qwen2", "gpt2"])
def test_words_are_those_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    cache = WordCache(tokenizer)
    assert tokenizer.pre_tokenizer is not None
    pieces = [TEXT[begin:end] for _, (begin, end) in tokenizer.pre_tokenizer.pre_tokenize_str(TEXT)]
    assert cache._cut(TEXT) == pieces
    assert cache._cut("a <tool>") is cache._cut("é") is None


@pytest.mark.parametrize(
    "tokenizer",
    [make_tokenizer(r"\s+|\S+"), make_tokenizer(None, Lowercase())],
    ids=["another expression", "a normalizer that changes ASCII"],
)
def test_other_tokenizers_are_asked_for_whole_texts(tokenizer: Tokenizer) -> None:
    cache = WordCache(tokenizer)
    assert cache._cut("The cat") is None
    assert encode(cache, ["The cat", "The cat"]) == [tokenizer.encode("The cat").ids] * 2


def test_prefix_space_and_other_pre_tokenizers_are_not_cut() -> None:
    tokenizer = make_tokenizer(None)
    for pre_tokenizer in (ByteLevel(add_prefix_space=True), Digits(), Sequence([Digits(), ByteLevel(use_regex=False)])):
        tokenizer.pre_tokenizer = pre_tokenizer  # pyrefly: ignore
        assert WordCache(tokenizer)._cut("a b") is None


def test_words_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_cache, "_MAX_WORDS", 3)
    cache = WordCache(QWEN2)
    for texts in (["a b c d e"], ["f g"], ["a b"]):
        assert encode(cache, texts) == [encoding.ids for encoding in QWEN2.encode_batch(texts)]
    assert len(cache._ids_of_word) <= 4
