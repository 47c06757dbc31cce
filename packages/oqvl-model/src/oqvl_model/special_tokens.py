"""Add missing special tokens to a tokenizer, at ids that depend on the tokenizer alone.

New ids follow the tokenizer's last id, in this order: `<|endofchunk|>`, the begin-of-document token, the padding token,
the image placeholder, then the tokens that end and begin a turn. No existing id changes. Qwen2.5's last id is 151664,
so its tokenizer gets the ids of the released Open-Qwen2VL weights, followed by the image placeholder:

    151665 <|endofchunk|>    151666 <s>    151667 <|pad|>    151668 <image>
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer

from oqvl_shards.errors import ConfigError

CHUNK_TOKEN = "<|endofchunk|>"
"""Ends every text of an interleaved document."""

RELEASED_IDS = {CHUNK_TOKEN: 151665, "<s>": 151666, "<|pad|>": 151667}
"""Ids of the special tokens that the released weights were trained with."""


def add_special_tokens(tokenizer_json: bytes, needed: Sequence[str]) -> bytes:
    """Return `tokenizer_json` with every token of `needed` as a special token.

    If none is missing, the bytes stay as they are. Otherwise `<|endofchunk|>` is added too, before the others.

    Args:
        tokenizer_json: Content of a `tokenizer.json`.
        needed: The special tokens, in the order in which missing ones are added. Empty strings are ignored.

    Raises:
        ConfigError: If the tokenizer is malformed.
    """
    tokenizer = _read(tokenizer_json)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    if special.issuperset(filter(None, needed)):
        return tokenizer_json
    missing = [token for token in dict.fromkeys([CHUNK_TOKEN, *needed]) if token and token not in special]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
    return tokenizer.to_str(pretty=True).encode()


def add_released_tokens(tokenizer_json: bytes, needed: Sequence[str]) -> bytes:
    """Return `tokenizer_json` with the special tokens of the released weights at their ids, and then `needed`.

    Raises:
        ConfigError: If the tokenizer is malformed, has another token at one of these ids, or has too few ids.
    """
    before = _read(tokenizer_json)
    expected = {token_id: token for token, token_id in RELEASED_IDS.items()}
    found = {token_id: before.id_to_token(token_id) for token_id in expected}
    others = [
        f"{found[i]!r} at {i} (expected {expected[i]!r})" for i in expected if found[i] not in (None, expected[i])
    ]
    with_tokens = add_special_tokens(tokenizer_json, [*RELEASED_IDS, *needed])
    after = _read(with_tokens)
    others += [
        f"{token!r} at {after.token_to_id(token)} (expected {token_id})"
        for token, token_id in RELEASED_IDS.items()
        if after.token_to_id(token) != token_id and found[token_id] in (None, token)
    ]
    if others:
        raise ConfigError(
            f"the tokenizer does not have the special tokens at the ids of the released weights: {', '.join(others)}",
            hint="give the directory of Qwen2.5's own tokenizer, whose last id is 151664",
        )
    return with_tokens


def _read(tokenizer_json: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_str(tokenizer_json.decode())
    except Exception as error:  # tokenizers raises bare Exception
        raise ConfigError(f"tokenizer.json cannot be read: {error}") from error
