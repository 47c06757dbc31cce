"""The tokenised documents of one source shard, as columns, and where their images lie."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.config import PackConfig
from oqvl_pack.source import SourceShard
from oqvl_pack.template import (
    PackReason,
    Segment,
    SpecialTokens,
    caption_document,
    conversation_document,
    interleaved_document,
    interleaved_layout,
)
from oqvl_pack.tokenization import DocumentTokenizer, TokenizedDocument
from oqvl_shards.errors import DataError
from oqvl_shards.image import check_image_head, decode_image, image_size
from oqvl_shards.tar.index import BLOCK_SIZE, Member
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, Sample, SampleError, member_type
from oqvl_shards.uid import sample_uid, uid_to_words

_HEAD_BYTES = 4096  # of an image file, enough for its size unless a large profile stands before

TRAILING_IMAGES = "num_trailing_images_cut"
"""Statistic: images that were cut because no text follows them."""


class Document(NamedTuple):
    """One sample, tokenised.

    Args:
        key: The source sample, `{shard}/{key}`.
        tokens: Its stored tokens.
        images: Where the image files of its placeholders lie in the source shard, in order.
        image_tokens: Visual tokens that each placeholder stands for.
    """

    key: str
    tokens: TokenizedDocument
    images: tuple[Member, ...]
    image_tokens: tuple[int, ...]


class Draft(NamedTuple):
    """One sample before it is tokenised; the fields are those of `Document`, but for the segments.

    Args:
        key: The sample's key in its shard.
        segments: What is tokenised.
        images: Where its image files lie.
        image_tokens: Visual tokens of each.
        uid: Low 64 bits of its uid; 0 where nothing is chosen by it.
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
        uids: uint64 [D], low 64 bits of the samples' uids; zeros where nothing is chosen by them.
        input_ids: int32 [S].
        is_target: bool [S].
        token_offsets: int64 [D + 1], where each document begins in `input_ids`.
        image_types: [I], file endings of the image members, lower case.
        image_spans: int64 [I, 2], offset and size in bytes of the image files in the source shard.
        image_tokens: int32 [I], visual tokens of each image.
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
        """Tokenise drafts of the samples of `shard`, all in one batch."""
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
        """Expanded length of each document in tokens, int64 [D]."""
        visual = np.concatenate([[0], np.cumsum(self.image_tokens - 1, dtype=np.int64)])
        return np.diff(self.token_offsets) + np.diff(visual[self.image_offsets])

    def tar_bytes(self) -> NDArray[np.int64]:
        """Bytes that each document's images take in a tar, headers included, int64 [D]."""
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
        """Put the documents of several tables, one or more, one after another."""
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
        """Return everything as arrays of numbers, for `numpy.savez`."""
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
        """Undo `columns`."""
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


@dataclass(frozen=True)
class ShardDocuments:
    """What one source shard holds.

    Args:
        table: Its documents.
        rejected: Samples left out, by reason.
        statistics: Counts that add up over shards.
    """

    table: DocumentTable
    rejected: dict[str, int]
    statistics: dict[str, int]


def read_documents(shard: SourceShard, config: PackConfig, tokenizer: DocumentTokenizer) -> ShardDocuments:
    """Tokenise all samples of one source shard, in its order.

    Args:
        shard: The shard.
        config: Template, image check and limits.
        tokenizer: Made for the same special tokens.

    Raises:
        DataError: When the shard cannot be read, or by default when a document is longer than a pack.
    """
    rejected: Counter[str] = Counter()
    statistics: Counter[str] = Counter()
    drafts = []
    with ShardReader(shard.path, config.limits, name=shard.relative_path) as reader:
        rejected.update(reject.reason.value for reject in reader.rejects)
        drafting = _Drafting(reader, shard, config, tokenizer.tokens, statistics)
        for sample in reader.samples:
            try:
                drafts.append(drafting.draft(sample))
            except SampleError as error:
                rejected[error.reason.value] += 1
    table = _drop_overlong(DocumentTable.from_drafts(shard.name, drafts, tokenizer), config, rejected)
    return ShardDocuments(table, dict(sorted(rejected.items())), dict(sorted(statistics.items())))


class _Drafting:
    """Turns the samples of one shard into drafts."""

    def __init__(
        self,
        reader: ShardReader,
        shard: SourceShard,
        config: PackConfig,
        tokens: SpecialTokens,
        statistics: Counter[str],
    ) -> None:
        self.reader, self.shard, self.config = reader, shard, config
        self.tokens, self.statistics = tokens, statistics
        self.needs_uid = not config.parts[shard.source].is_whole

    def draft(self, sample: Sample) -> Draft:
        """Return the draft of one sample.

        Raises:
            SampleError: When it cannot be packed.
        """
        num_cut, template = 0, self.shard.template
        if template == "caption":
            segments, images = self._caption(sample)
        elif template == "conversation":
            images = sample.image_members
            turns = self.reader.json(sample).get("conversations")
            segments = conversation_document(turns, len(images), self.tokens, self.config.system_prompt)
        else:
            segments, images, num_cut = self._interleaved(sample)
        for image in images:
            self._check_image(image)
        image_tokens = self._image_tokens(sample, len(images), num_cut)
        if num_cut:
            self.statistics[TRAILING_IMAGES] += num_cut
        return Draft(sample.key, segments, images, image_tokens, self._uid(sample) if self.needs_uid else 0)

    def _caption(self, sample: Sample) -> tuple[list[Segment], tuple[Member, ...]]:
        images = sample.image_members
        if len(images) != 1:
            reason = RejectReason.MANY_IMAGES if images else RejectReason.NO_IMAGE
            raise SampleError(reason, f"{len(images)} image members, expected one")
        return caption_document(self.reader.text(sample), self.tokens), images

    def _interleaved(self, sample: Sample) -> tuple[list[Segment], tuple[Member, ...], int]:
        values, config = self.reader.json(sample), self.config
        layout = interleaved_layout(
            values.get("texts"),
            values.get("images"),
            min_images=config.min_images,
            max_images=config.max_images,
            cut_trailing=config.trailing_images == "cut",
        )
        images = []
        for suffix in layout.images:
            member = sample.member(suffix)
            if member not in sample.image_members:
                raise SampleError(PackReason.MISSING_IMAGE, f"no image member {suffix!r:.40}")
            images.append(member)
        return interleaved_document(layout.places, self.tokens), tuple(images), layout.num_cut

    def _uid(self, sample: Sample) -> int:
        """Return the low 64 bits of the uid; who has a broken json member, which a caption does not need, has none."""
        metadata = None
        if sample.member("json") is not None:
            with suppress(SampleError):
                metadata = self.reader.json(sample)
        return uid_to_words(sample_uid(sample, metadata, self.shard.dataset).value)[1]

    def _check_image(self, image: Member) -> None:
        limits = self.config.limits
        if self.config.image_check == "decode":
            decode_image(self.reader.read(image), limits, member_type(image.name))
        elif not check_image_head(self.reader.head(image, _HEAD_BYTES), limits):
            image_size(self.reader.read(image), limits)

    def _image_tokens(self, sample: Sample, num_images: int, num_cut: int) -> tuple[int, ...]:
        field = self.config.visual_tokens_field
        if not field:
            return (self.config.visual_tokens_per_image,) * num_images
        value: Any = self.reader.json(sample).get(field)
        counts = value if isinstance(value, list) else [value] * (num_images + num_cut)
        if len(counts) != num_images + num_cut or not all(
            type(count) is int and 0 < count <= self.config.bin_capacity for count in counts
        ):
            raise SampleError(
                PackReason.BAD_VISUAL_TOKENS, f"{field} holds {value!r:.40} for {num_images + num_cut} images"
            )
        return tuple(counts[:num_images])


def _drop_overlong(table: DocumentTable, config: PackConfig, rejected: Counter[str]) -> DocumentTable:
    lengths = table.lengths()
    overlong = np.flatnonzero(lengths > config.bin_capacity)
    if not len(overlong):
        return table
    if config.overlong == "error":
        raise DataError(
            f"{table.keys[overlong[0]]} has {lengths[overlong[0]]} tokens, a pack holds {config.bin_capacity}",
            hint="raise bin_capacity, or leave such documents out with overlong=drop",
        )
    rejected[PackReason.OVERLONG.value] += len(overlong)
    return table.take(np.flatnonzero(lengths <= config.bin_capacity))


def _spans(offsets: NDArray[np.int64], indices: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of all items of the ranges with these indices, and where each range then begins."""
    sizes = np.diff(offsets)[indices]
    begins = np.concatenate([[0], np.cumsum(sizes)])
    return np.arange(int(begins[-1])) + np.repeat(offsets[:-1][indices] - begins[:-1], sizes), begins


def _join_offsets(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(one) for one in offsets]))])


def _strings_to_bytes(strings: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(strings).encode(), dtype=np.uint8)


def _bytes_to_strings(data: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(json.loads(data.tobytes()))
