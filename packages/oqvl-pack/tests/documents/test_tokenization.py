"""Tokens: special tokens come from the template alone, never from text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from oqvl_pack.documents.template import Segment, SpecialTokens, caption_document, conversation_document
from oqvl_pack.documents.tokenization import DocumentTokenizer, load_tokenizer
from oqvl_shards.errors import ConfigError

TOKENS = SpecialTokens(image="<image>", bos="<s>", start="<|im_start|>", end="<|im_end|>", pad="<|pad|>")
SPELLINGS = ["<image>", "<s>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<|endoftext|>"]
FIRST_SPECIAL_ID = 256
hostile_text = st.lists(st.one_of(st.sampled_from(SPELLINGS), st.text(max_size=5)), max_size=8).map("".join)


@given(hostile_text)
def test_text_never_yields_a_special_token(byte_tokenizer_json: bytes, text: str) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    [document] = tokenizer.encode([caption_document(text, TOKENS)])
    special = [token for token in document.input_ids.tolist() if token >= FIRST_SPECIAL_ID]
    assert special == [tokenizer.special_id(token) for token in ("<s>", "<image>", "<|im_end|>")]
    assert tokenizer.decode(document.input_ids.tolist()) == f"<s><image>\n{text}<|im_end|>"


@given(hostile_text, hostile_text, st.integers(0, 3))
def test_conversation_round_trips(byte_tokenizer_json: bytes, system: str, answer: str, num_images: int) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    turns = [
        {"from": "system", "value": system},
        {"from": "human", "value": "<image>" * num_images + "\nQ"},
        {"from": "gpt", "value": f"A{answer}"},
    ]
    segments = conversation_document(turns, num_images, TOKENS, "")
    [document] = tokenizer.encode([segments])
    ids = document.input_ids.tolist()
    assert ids.count(tokenizer.special_id("<image>")) == num_images
    assert tokenizer.decode(ids) == "".join(segment.text for segment in segments)
    learned = document.input_ids[document.is_target].tolist()
    assert tokenizer.decode(learned) == f"A{answer}<|im_end|>"
    assert not document.is_target[0]


def test_figures(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    assert tokenizer.vocab_size == 263
    assert [tokenizer.special_id(token) for token in SPELLINGS] == [261, 260, 257, 258, 259, 256]


def test_vocabulary_with_a_hole() -> None:
    model = BPE(vocab={"a": 0, "b": 7, "c": 1}, merges=[])
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPELLINGS])
    assert DocumentTokenizer(tokenizer.to_str().encode(), TOKENS).vocab_size == 1 + max(tokenizer.get_vocab().values())


def test_batch_equals_one_by_one(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    documents = [[Segment(text), Segment("<s>", is_special=True)] for text in ("b", "a", "b", "", "c d")]
    together = [document.input_ids.tolist() for document in tokenizer.encode(documents)]
    assert together == [tokenizer.encode([document])[0].input_ids.tolist() for document in documents]


def test_padding_and_truncation_of_the_file_are_ignored(byte_tokenizer_json: bytes) -> None:
    changed = Tokenizer.from_str(byte_tokenizer_json.decode())
    changed.enable_truncation(3)
    changed.enable_padding(length=20)
    tokenizer = DocumentTokenizer(changed.to_str().encode(), TOKENS)
    [document] = tokenizer.encode([[Segment("abcdef")]])
    assert len(document.input_ids) == 6


def test_missing_special_token_is_named(byte_tokenizer_json: bytes) -> None:
    values = json.loads(byte_tokenizer_json)
    for added in values["added_tokens"]:
        added["special"] = added["content"] != "<image>"
    with pytest.raises(ConfigError, match=r"'<image>' is not a special token of the tokenizer, which has"):
        DocumentTokenizer(json.dumps(values).encode(), TOKENS)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tokenizer(tmp_path / "none.json", TOKENS)
    with pytest.raises(ConfigError, match="cannot be read"):
        DocumentTokenizer(b"{}", TOKENS)


def test_the_first_token_is_never_a_target(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    documents = tokenizer.encode([[Segment("ab", is_target=True)], [], [Segment("c", is_target=True)]])
    assert [document.is_target.tolist() for document in documents] == [[False, True], [], [False]]
