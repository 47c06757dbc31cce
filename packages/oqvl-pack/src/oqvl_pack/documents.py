"""The tokenised documents of one source shard, as columns, and where their images lie."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.config import PackConfig
from oqvl_pack.template import PackReason, Segment, SpecialTokens, caption_document, conversation_document
from oqvl_pack.tokenization import DocumentTokenizer, TokenizedDocument
from oqvl_shards.errors import DataError
from oqvl_shards.image import decode_image, image_size
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import Sample, SampleError, member_type
from oqvl_shards.tar_index import Member


class Document(NamedTuple):
    """One sample, tokenised.

    Args:
        key: The source sample, `{shard}/{key}`.
        tokens: Its stored tokens.
        images: Where the image files of its placeholders lie in the source shard, in order.
    """

    key: str
    tokens: TokenizedDocument
    images: tuple[Member, ...]


@dataclass(frozen=True)
class DocumentTable:
    """Documents as columns. D documents, S stored tokens, I images.

    Args:
        keys: [D], source samples, `{shard}/{key}`.
        input_ids: int32 [S].
        is_target: bool [S].
        token_offsets: int64 [D + 1], where each document begins in `input_ids`.
        image_names: [I], names of the image members in the source shard.
        image_spans: int64 [I, 2], offset and size in bytes of the image files in the source shard.
        image_offsets: int64 [D + 1], where each document's images begin.
    """

    keys: tuple[str, ...]
    input_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    token_offsets: NDArray[np.int64]
    image_names: tuple[str, ...]
    image_spans: NDArray[np.int64]
    image_offsets: NDArray[np.int64]

    @classmethod
    def from_documents(cls, documents: Sequence[Document]) -> DocumentTable:
        """Put documents side by side."""
        images = [image for document in documents for image in document.images]
        no_tokens = TokenizedDocument(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.bool_))
        tokens = [no_tokens, *(document.tokens for document in documents)]
        return cls(
            keys=tuple(document.key for document in documents),
            input_ids=np.concatenate([part.input_ids for part in tokens]),
            is_target=np.concatenate([part.is_target for part in tokens]),
            token_offsets=np.cumsum([len(part.input_ids) for part in tokens]),
            image_names=tuple(image.name for image in images),
            image_spans=np.asarray([(image.offset, image.size) for image in images], dtype=np.int64).reshape(-1, 2),
            image_offsets=np.cumsum([0, *(len(document.images) for document in documents)]),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Document:
        tokens = slice(self.token_offsets[index], self.token_offsets[index + 1])
        images = range(self.image_offsets[index], self.image_offsets[index + 1])
        return Document(
            key=self.keys[index],
            tokens=TokenizedDocument(self.input_ids[tokens], self.is_target[tokens]),
            images=tuple(Member(self.image_names[image], *self.image_spans[image].tolist()) for image in images),
        )

    def lengths(self, visual_tokens_per_image: int) -> NDArray[np.int64]:
        """Expanded length of each document in tokens, int64 [D]."""
        return np.diff(self.token_offsets) + np.diff(self.image_offsets) * (visual_tokens_per_image - 1)

    def columns(self) -> dict[str, NDArray]:
        """Return everything as arrays of numbers, for `numpy.savez`."""
        return {
            "keys": _strings_to_bytes(self.keys),
            "input_ids": self.input_ids,
            "is_target": self.is_target,
            "token_offsets": self.token_offsets,
            "image_names": _strings_to_bytes(self.image_names),
            "image_spans": self.image_spans,
            "image_offsets": self.image_offsets,
        }

    @classmethod
    def from_columns(cls, columns: dict[str, NDArray]) -> DocumentTable:
        """Undo `columns`."""
        return cls(
            keys=_bytes_to_strings(columns["keys"]),
            input_ids=columns["input_ids"],
            is_target=columns["is_target"],
            token_offsets=columns["token_offsets"],
            image_names=_bytes_to_strings(columns["image_names"]),
            image_spans=columns["image_spans"],
            image_offsets=columns["image_offsets"],
        )


def read_documents(
    path: Path, shard: str, config: PackConfig, tokenizer: DocumentTokenizer
) -> tuple[DocumentTable, Counter[str]]:
    """Tokenise all samples of one source shard, in its order.

    Args:
        path: The shard's file.
        shard: The shard's path below the dataset's directory.
        config: Template, image check and limits.
        tokenizer: Made for the same special tokens.

    Returns:
        The documents, and the number of rejected samples by reason.

    Raises:
        DataError: When the shard cannot be read, or by default when a document is longer than a pack.
    """
    rejected: Counter[str] = Counter()
    accepted: list[tuple[Sample, list[Segment]]] = []
    with ShardReader(path, config.limits, name=shard) as reader:
        rejected.update(reject.reason.value for reject in reader.rejects)
        for sample in reader.samples:
            try:
                accepted.append((sample, _segments(reader, sample, config, tokenizer.tokens)))
            except SampleError as error:
                rejected[error.reason.value] += 1
    tokenized = tokenizer.encode([segments for _, segments in accepted])
    documents = []
    for (sample, _), tokens in zip(accepted, tokenized, strict=True):
        document = Document(f"{shard}/{sample.key}", tokens, sample.image_members)
        if _fits(document, config):
            documents.append(document)
        else:
            rejected[PackReason.OVERLONG.value] += 1
    return DocumentTable.from_documents(documents), rejected


def _fits(document: Document, config: PackConfig) -> bool:
    length = len(document.tokens.input_ids) + len(document.images) * (config.visual_tokens_per_image - 1)
    if length > config.bin_capacity and config.overlong == "error":
        raise DataError(
            f"{document.key} has {length} tokens, a pack holds {config.bin_capacity}",
            hint="raise bin_capacity, or leave such documents out with overlong=drop",
        )
    return length <= config.bin_capacity


def _segments(reader: ShardReader, sample: Sample, config: PackConfig, tokens: SpecialTokens) -> list[Segment]:
    if config.template == "caption":
        segments = caption_document(reader.text(sample), tokens)
        images = [reader.image(sample)]
    else:
        turns = reader.json(sample).get("conversations")
        segments = conversation_document(turns, len(sample.image_members), tokens, config.system_prompt)
        images = reader.images(sample)
    for image_type, data in images:
        if config.image_check == "decode":
            decode_image(data, config.limits, image_type)
        else:
            image_size(data, config.limits)
    return segments


def image_type(member: Member) -> str:
    """Return the file ending of an image member, lower case."""
    return member_type(member.name)


def _strings_to_bytes(strings: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(strings).encode(), dtype=np.uint8)


def _bytes_to_strings(data: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(json.loads(data.tobytes()))
