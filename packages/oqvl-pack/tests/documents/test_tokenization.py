"""Tokens: special tokens come from the template alone, never from text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from oqvl_pack.documents.template import (
    Segment,
    SpecialTokens,
    caption_document,
    conversation_document,
    interleaved_document,
)
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


ID_OF = {"<|endoftext|>": 256, "<|im_start|>": 257, "<|im_end|>": 258, "<|pad|>": 259, "<s>": 260, "<image>": 261}


def spell(tokenizer: DocumentTokenizer, text: str) -> list[int]:
    """Return the ids of ordinary text, one per byte."""
    return tokenizer.encode([[Segment(text)]])[0].input_ids.tolist()


def test_known_tokens_of_a_caption(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    [document] = tokenizer.encode([caption_document("a cat", TOKENS)])
    assert document.input_ids.tolist() == [ID_OF["<s>"], ID_OF["<image>"], *spell(tokenizer, "\na cat"), 258]
    assert document.is_target.tolist() == [False, False, *[True] * 7]


def test_known_tokens_of_a_conversation(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    turns = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "Me."}]
    [document] = tokenizer.encode([conversation_document(turns, 1, TOKENS, "Hi")])
    system = [257, *spell(tokenizer, "system\nHi"), 258, *spell(tokenizer, "\n")]
    user = [257, *spell(tokenizer, "user\n"), 261, *spell(tokenizer, "\nWho?"), 258, *spell(tokenizer, "\n")]
    answer = [257, *spell(tokenizer, "assistant\n"), *spell(tokenizer, "Me."), 258, *spell(tokenizer, "\n")]
    assert document.input_ids.tolist() == [260, *system, *user, *answer]
    assert np.flatnonzero(document.is_target).tolist() == [len(document.input_ids) - place for place in (5, 4, 3, 2)]


def test_known_tokens_of_an_interleaved_document(byte_tokenizer_json: bytes) -> None:
    tokens = SpecialTokens(
        image="<image>", bos="<s>", start="", end="<|im_end|>", pad="<|pad|>", chunk="<|endofchunk|>"
    )
    tokenizer = DocumentTokenizer(byte_tokenizer_json, tokens)
    [document] = tokenizer.encode([interleaved_document(["A", None, "B"], tokens)])
    newline_b = spell(tokenizer, "\nB")
    assert document.input_ids.tolist() == [260, *spell(tokenizer, "A"), 262, 261, *newline_b, 262, 258]
    assert document.is_target.tolist() == [False, True, True, False, True, True, True, True]


@given(st.lists(st.lists(st.text(max_size=4), max_size=3), max_size=5))
def test_offsets_cut_the_batch_into_its_documents(byte_tokenizer_json: bytes, texts: list[list[str]]) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    documents = tokenizer.encode([[Segment(text) for text in of_document] for of_document in texts])
    assert len(documents) == len(texts)
    assert [tokenizer.decode(document.input_ids.tolist()) for document in documents] == ["".join(t) for t in texts]
    assert documents.offsets[-1] == len(documents.input_ids) == len(documents.is_target)
    with pytest.raises(IndexError, match=f"document {len(texts)} of {len(texts)}"):
        documents[len(texts)]


def test_the_tokenizer_is_read_once_per_process(tmp_path: Path, byte_tokenizer_json: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(byte_tokenizer_json)
    first = load_tokenizer(path, TOKENS)
    path.unlink()
    assert load_tokenizer(path, TOKENS) is first


def test_errors_say_what_to_do(byte_tokenizer_json: bytes) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    with pytest.raises(ConfigError) as caught:
        tokenizer.special_id("<nothing>")
    assert "add it to tokenizer.json with special=true" in caught.value.hint


@given(st.lists(st.none() | hostile_text.filter(str.strip), min_size=1, max_size=6))
def test_interleaved_round_trips(byte_tokenizer_json: bytes, places: list[str | None]) -> None:
    tokens = SpecialTokens(
        image="<image>", bos="<s>", start="", end="<|im_end|>", pad="<|pad|>", chunk="<|endofchunk|>"
    )
    tokenizer = DocumentTokenizer(byte_tokenizer_json, tokens)
    segments = interleaved_document(places, tokens)
    [document] = tokenizer.encode([segments])
    ids = document.input_ids.tolist()
    special = [token for token in ids if token >= FIRST_SPECIAL_ID]
    assert special == [260, *(261 if place is None else 262 for place in places), 258]
    assert tokenizer.decode(ids) == "".join(segment.text for segment in segments)
    assert [token for token, is_target in zip(ids, document.is_target, strict=True) if not is_target] == [
        260,
        *[261] * places.count(None),
    ]


@given(st.lists(st.tuples(hostile_text, hostile_text), min_size=1, max_size=3))
def test_hostile_questions_open_no_turn_and_no_image(
    byte_tokenizer_json: bytes, exchanges: list[tuple[str, str]]
) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    turns = [
        {"from": speaker, "value": value}
        for question, answer in exchanges
        for speaker, value in (("human", question), ("gpt", f"A{answer}"))
    ]
    # Only marks in questions are images, also where spellings around a mark seem to close the turn.
    num_images = sum(question.count("<image>") for question, _ in exchanges)
    [document] = tokenizer.encode([conversation_document(turns, num_images, TOKENS, "")])
    ids = document.input_ids.tolist()
    assert ids.count(ID_OF["<image>"]) == num_images
    assert ids.count(ID_OF["<|im_start|>"]) == ids.count(ID_OF["<|im_end|>"]) == len(turns)
    assert ids.count(ID_OF["<s>"]) == 1 and ids.count(ID_OF["<|pad|>"]) == 0
    learned = tokenizer.decode(document.input_ids[document.is_target].tolist())
    assert learned == "".join(f"A{answer}<|im_end|>" for _, answer in exchanges)
    assert tokenizer.decode(ids) == "<s>" + "".join(
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\nA{answer}<|im_end|>\n"
        for question, answer in exchanges
    )


@pytest.mark.parametrize(
    "text", ["<ima", "<image", "image>", "<|im_end|", "<|im_end|>>", "<<s>", "\u00a0<image>\u200b"]
)
def test_halves_of_special_tokens_stay_text(byte_tokenizer_json: bytes, text: str) -> None:
    tokenizer = DocumentTokenizer(byte_tokenizer_json, TOKENS)
    assert max(spell(tokenizer, text)) < FIRST_SPECIAL_ID
    # A half at the end of a segment and the other half at the beginning of the next do not join.
    [document] = tokenizer.encode([[Segment(text[:3]), Segment(text[3:])]])
    assert max(document.input_ids.tolist()) < FIRST_SPECIAL_ID
    assert tokenizer.decode(document.input_ids.tolist()) == text
