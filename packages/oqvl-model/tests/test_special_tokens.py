from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer

from oqvl_model.special_tokens import CHUNK_TOKEN, RELEASED_IDS, add_released_tokens, add_special_tokens
from oqvl_shards.errors import ConfigError

NEEDED = ["<s>", "<|pad|>", "<image>", "<|im_end|>", "<|im_start|>"]


def ids(tokenizer_json: bytes, *tokens: str) -> list[int | None]:
    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    return [tokenizer.token_to_id(token) for token in tokens]


def test_a_whole_tokenizer_stays_byte_for_byte(tokenizer_json):
    assert add_special_tokens(tokenizer_json, [*NEEDED, ""]) == tokenizer_json


def test_missing_tokens_follow_the_last_id_in_a_fixed_order(tokenizer_json):
    last = Tokenizer.from_str(tokenizer_json.decode()).get_vocab_size() - 1
    extended = add_special_tokens(tokenizer_json, ["<b>", *NEEDED, "<a>"])
    assert ids(extended, CHUNK_TOKEN, "<b>", "<a>") == [last + 1, last + 2, last + 3]
    assert ids(extended, *NEEDED) == ids(tokenizer_json, *NEEDED)
    assert add_special_tokens(extended, ["<b>", "<a>"]) == extended
    text = "a red apple <b> on a table"
    before, after = (Tokenizer.from_str(content.decode()) for content in (tokenizer_json, extended))
    before.encode_special_tokens = after.encode_special_tokens = True
    assert before.encode(text).ids == after.encode(text).ids


def test_an_ordinary_token_becomes_special_at_its_id(tokenizer_json):
    extended = add_special_tokens(tokenizer_json, ["a"])
    assert ids(extended, "a") == ids(tokenizer_json, "a")
    added = {token["content"]: token for token in json.loads(extended)["added_tokens"]}
    assert added["a"]["special"]
    assert not added["a"]["normalized"]


def test_qwen_gets_the_released_ids_from_either_function(qwen_tokenizer_json):
    for extended in (
        add_released_tokens(qwen_tokenizer_json, ["<image>"]),
        add_special_tokens(qwen_tokenizer_json, NEEDED),
    ):
        assert ids(extended, *RELEASED_IDS) == [151665, 151666, 151667]
        assert ids(extended, "<image>") == [151668]


def test_other_tokens_at_the_released_ids_are_refused(qwen_tokenizer_json, tokenizer_json):
    taken = add_special_tokens(qwen_tokenizer_json, ["<image>"])  # <|endofchunk|>, then <image> where <s> belongs
    with pytest.raises(ConfigError, match=r"'<image>' at 151666 \(expected '<s>'\)"):
        add_released_tokens(taken, ["<image>"])
    with pytest.raises(ConfigError, match=r"'<s>' at 1 \(expected 151666\)"):
        add_released_tokens(tokenizer_json, ["<image>"])


def test_a_damaged_tokenizer_is_named():
    with pytest.raises(ConfigError, match="cannot be read"):
        add_special_tokens(b"{}", ["<s>"])
