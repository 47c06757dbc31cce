"""The tokenised documents of one source shard as columns, and where their images are stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.documents.template import (
    Segment,
)
from oqvl_pack.documents.tokenization import DocumentTokenizer, TokenizedDocument
from oqvl_shards.tar.index import BLOCK_SIZE, Member
from oqvl_shards.tar.sample import member_type


class Document(NamedTuple):
    """One sample, tokenised.

    Args:
        key: The source sample, `{shard}/{key}`.
        tokens: Its stored tokens.
        images: Where the image file of each placeholder is stored in the source shard, in order.
        image_tokens: Number of visual tokens that each placeholder stands for.
    """

    key: str
    tokens: TokenizedDocument
    images: tuple[Member, ...]
    image_tokens: tuple[int, ...]


class Draft(NamedTuple):
    """One sample before it is tokenised.

    Args:
        key: The sample's key in its shard.
        segments: The text and special tokens to tokenise.
        images: Where its image files are stored in the source shard, in order.
        image_tokens: Number of visual tokens of each image.
        uid: Low 64 bits of its uid; 0 if documents are not chosen by uid.
    """

    key: str
    segments: list[Segment]
    images: tuple[Member, ...]
    image_tokens: tuple[int, ...]
    uid: int = 0


@dataclass(frozen=True)
class DocumentTable:
    """Documents as columns. D documents, S stored tokens, I images.

    Args:
        keys: [D], source samples, `{shard}/{key}`.
        uids: uint64 [D], low 64 bits of the samples' uids; zeros if documents are not chosen by uid.
        input_ids: int32 [S].
        is_target: bool [S].
        token_offsets: int64 [D + 1], where each document begins in `input_ids`.
        image_types: [I], file suffixes of the image members, lower case.
        image_spans: int64 [I, 2], offset and size in bytes of each image file in the source shard.
        image_tokens: int32 [I], number of visual tokens of each image.
        image_offsets: int64 [D + 1], where each document's images begin.
    """

    keys: tuple[str, ...]
    uids: NDArray[np.uint64]
    input_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    token_offsets: NDArray[np.int64]
    image_types: tuple[str, ...]
    image_spans: NDArray[np.int64]
    image_tokens: NDArray[np.int32]
    image_offsets: NDArray[np.int64]

    @classmethod
    def from_drafts(cls, shard: str, drafts: Sequence[Draft], tokenizer: DocumentTokenizer) -> DocumentTable:
        """Tokenise the drafts of the samples of `shard` in one batch."""
        tokens = tokenizer.encode([draft.segments for draft in drafts])
        images = [image for draft in drafts for image in draft.images]
        return cls(
            keys=tuple(f"{shard}/{draft.key}" for draft in drafts),
            uids=np.asarray([draft.uid for draft in drafts], dtype=np.uint64),
            input_ids=tokens.input_ids,
            is_target=tokens.is_target,
            token_offsets=tokens.offsets,
            image_types=tuple(member_type(image.name) for image in images),
            image_spans=np.asarray([(image.offset, image.size) for image in images], dtype=np.int64).reshape(-1, 2),
            image_tokens=np.asarray([count for draft in drafts for count in draft.image_tokens], dtype=np.int32),
            image_offsets=np.cumsum([0, *(len(draft.images) for draft in drafts)]),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Document:
        tokens = slice(self.token_offsets[index], self.token_offsets[index + 1])
        images = range(self.image_offsets[index], self.image_offsets[index + 1])
        return Document(
            key=self.keys[index],
            tokens=TokenizedDocument(self.input_ids[tokens], self.is_target[tokens]),
            images=tuple(
                Member(f"{number}.{self.image_types[image]}", *self.image_spans[image].tolist())
                for number, image in enumerate(images)
            ),
            image_tokens=tuple(self.image_tokens[images.start : images.stop].tolist()),
        )

    def lengths(self) -> NDArray[np.int64]:
        """Return the length of each document in tokens after its placeholders are expanded, int64 [D]."""
        visual = np.concatenate([[0], np.cumsum(self.image_tokens - 1, dtype=np.int64)])
        return np.diff(self.token_offsets) + np.diff(visual[self.image_offsets])

    def tar_bytes(self) -> NDArray[np.int64]:
        """Return the bytes that each document's images take in a tar, headers included, int64 [D]."""
        padded = BLOCK_SIZE + -(-self.image_spans[:, 1] // BLOCK_SIZE) * BLOCK_SIZE
        return np.diff(np.concatenate([[0], np.cumsum(padded)])[self.image_offsets])

    def take(self, documents: NDArray[np.integer]) -> DocumentTable:
        """Return the documents with these indices, in this order."""
        tokens, token_offsets = _spans(self.token_offsets, documents)
        images, image_offsets = _spans(self.image_offsets, documents)
        return DocumentTable(
            keys=tuple(self.keys[document] for document in documents.tolist()),
            uids=self.uids[documents],
            input_ids=self.input_ids[tokens],
            is_target=self.is_target[tokens],
            token_offsets=token_offsets,
            image_types=tuple(self.image_types[image] for image in images.tolist()),
            image_spans=self.image_spans[images],
            image_tokens=self.image_tokens[images],
            image_offsets=image_offsets,
        )

    @classmethod
    def concatenate(cls, tables: Sequence[DocumentTable]) -> DocumentTable:
        """Return the documents of one or more tables, one table after another."""
        return cls(
            keys=tuple(key for table in tables for key in table.keys),
            uids=np.concatenate([table.uids for table in tables]),
            input_ids=np.concatenate([table.input_ids for table in tables]),
            is_target=np.concatenate([table.is_target for table in tables]),
            token_offsets=_join_offsets([table.token_offsets for table in tables]),
            image_types=tuple(image_type for table in tables for image_type in table.image_types),
            image_spans=np.concatenate([table.image_spans for table in tables]),
            image_tokens=np.concatenate([table.image_tokens for table in tables]),
            image_offsets=_join_offsets([table.image_offsets for table in tables]),
        )

    def columns(self) -> dict[str, NDArray]:
        """Return the whole table as arrays of numbers, which `numpy.savez` writes without pickle."""
        return {
            "keys": _strings_to_bytes(self.keys),
            "uids": self.uids,
            "input_ids": self.input_ids,
            "is_target": self.is_target,
            "token_offsets": self.token_offsets,
            "image_types": _strings_to_bytes(self.image_types),
            "image_spans": self.image_spans,
            "image_tokens": self.image_tokens,
            "image_offsets": self.image_offsets,
        }

    @classmethod
    def from_columns(cls, columns: dict[str, NDArray]) -> DocumentTable:
        """Return the table that `columns` was called on."""
        return cls(
            keys=_bytes_to_strings(columns["keys"]),
            uids=columns["uids"],
            input_ids=columns["input_ids"],
            is_target=columns["is_target"],
            token_offsets=columns["token_offsets"],
            image_types=_bytes_to_strings(columns["image_types"]),
            image_spans=columns["image_spans"],
            image_tokens=columns["image_tokens"],
            image_offsets=columns["image_offsets"],
        )


def _spans(offsets: NDArray[np.int64], indices: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Select ranges of a column.

    Args:
        offsets: int64 [D + 1], where each range begins.
        indices: The ranges to select.

    Returns:
        The positions of all entries of these ranges, and where each selected range begins among them.
    """
    sizes = np.diff(offsets)[indices]
    begins = np.concatenate([[0], np.cumsum(sizes)])
    return np.arange(int(begins[-1])) + np.repeat(offsets[:-1][indices] - begins[:-1], sizes), begins


def _join_offsets(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(table_offsets) for table_offsets in offsets]))])


def _strings_to_bytes(strings: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(strings).encode(), dtype=np.uint8)


def _bytes_to_strings(json_bytes: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(json.loads(json_bytes.tobytes()))
