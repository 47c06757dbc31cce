"""Turn segments into token ids with a `tokenizer.json`. Text never becomes a special token."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from oqvl_pack.documents.template import Segment, SpecialTokens
from oqvl_pack.documents.word_cache import WordCache
from oqvl_shards.errors import ConfigError


class TokenizedDocument(NamedTuple):
    """One document's stored tokens, with one placeholder token per image.

    Args:
        input_ids: int32 [S].
        is_target: bool [S], whether the model learns to predict the token.
    """

    input_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]


class TokenizedDocuments(Sequence[TokenizedDocument]):
    """Documents one after another. D documents, S stored tokens.

    Args:
        input_ids: int32 [S].
        is_target: bool [S]; a document's first token is never a target.
        offsets: int64 [D + 1], where each document begins.
    """

    def __init__(self, input_ids: NDArray[np.int32], is_target: NDArray[np.bool_], offsets: NDArray[np.int64]) -> None:
        self.input_ids = input_ids
        self.is_target = is_target
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> TokenizedDocument:  # pyrefly: ignore
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        tokens = slice(self.offsets[index], self.offsets[index + 1])
        return TokenizedDocument(self.input_ids[tokens], self.is_target[tokens])


class DocumentTokenizer:
    """Tokenises documents.

    Args:
        tokenizer_json: Content of a `tokenizer.json`.
        tokens: The special tokens that documents use; each must be a special token of the tokenizer.

    Raises:
        ConfigError: If the tokenizer is malformed or lacks one of the special tokens.
    """

    def __init__(self, tokenizer_json: bytes, tokens: SpecialTokens) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigError(f"tokenizer.json cannot be read: {error}") from error
        # Text that spells a special token becomes ordinary tokens.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._words = WordCache(self._tokenizer)
        self.sha256 = hashlib.sha256(tokenizer_json).hexdigest()
        self.tokens = tokens
        self._special_ids = {
            added.content: token_id
            for token_id, added in self._tokenizer.get_added_tokens_decoder().items()
            if added.special
        }
        for token in (tokens.image, tokens.end, tokens.pad, tokens.bos, tokens.start, tokens.chunk):
            if token:
                self.special_id(token)

    @property
    def vocab_size(self) -> int:
        """Number of ids that the tokenizer can yield: the largest id plus one."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())

    def special_id(self, token: str) -> int:
        """Return the id of a special token.

        Raises:
            ConfigError: If the tokenizer has no such special token.
        """
        if token not in self._special_ids:
            raise ConfigError(
                f"{token!r} is not a special token of the tokenizer, which has {sorted(self._special_ids)}",
                hint="add it to tokenizer.json with special=true, or configure another token",
            )
        return self._special_ids[token]

    def encode(self, documents: Sequence[Sequence[Segment]]) -> TokenizedDocuments:
        """Tokenise documents, with all their distinct texts in one batch."""
        texts = {segment.text: None for document in documents for segment in document if not segment.is_special}
        ids_of_text = dict(zip(texts, self._words.encode(list(texts)), strict=True))
        ids_of_token = {token: np.int32(token_id).tobytes() for token, token_id in self._special_ids.items()}
        # Join the ids of all segments as bytes, and find where each segment and each document ends.
        segments = [segment for document in documents for segment in document]
        segment_ids = [(ids_of_token if segment.is_special else ids_of_text)[segment.text] for segment in segments]
        sizes = np.fromiter(map(len, segment_ids), dtype=np.int64, count=len(segment_ids)) // 4
        ends = np.concatenate([[0], np.cumsum(sizes)])
        offsets = ends[np.cumsum([0, *map(len, documents)])]
        input_ids = np.frombuffer(bytearray().join(segment_ids), dtype=np.int32)
        # Mark the targets. Nothing predicts a document's first token.
        is_target = np.repeat(np.fromiter((segment.is_target for segment in segments), np.bool_, len(segments)), sizes)
        is_target[offsets[:-1][np.diff(offsets) > 0]] = False
        return TokenizedDocuments(input_ids, is_target, offsets)

    def decode(self, input_ids: Sequence[int]) -> str:
        """Return the text of `input_ids`, with special tokens spelled out."""
        return self._tokenizer.decode(list(input_ids), skip_special_tokens=False)


@lru_cache(maxsize=1)
def load_tokenizer(path: Path, tokens: SpecialTokens) -> DocumentTokenizer:
    """Read the tokenizer at `path`, once per process.

    Raises:
        ConfigError: If the file cannot be read, is malformed, or lacks one of the special tokens.
    """
    try:
        tokenizer_json = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"tokenizer: {path} cannot be read: {error}") from error
    return DocumentTokenizer(tokenizer_json, tokens)
