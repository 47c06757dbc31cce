"""Read one source shard: every sample becomes a document, or is counted as rejected."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from oqvl_pack.config import PackConfig
from oqvl_pack.documents.document_table import DocumentTable, Draft
from oqvl_pack.documents.source import SourceShard
from oqvl_pack.documents.template import (
    PackReason,
    Segment,
    SpecialTokens,
    caption_document,
    conversation_document,
    interleaved_document,
    interleaved_layout,
)
from oqvl_pack.documents.tokenization import DocumentTokenizer
from oqvl_shards.errors import DataError
from oqvl_shards.image import check_image_head, decode_image, image_size
from oqvl_shards.tar.index import Member
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, Sample, SampleError, member_type
from oqvl_shards.uid import sample_uid, uid_to_words

_HEAD_BYTES = 4096  # of an image file; enough to read its size, unless a large profile comes first

_TRAILING_IMAGES = "num_trailing_images_cut"  # statistic: images that are cut because no text follows them


@dataclass(frozen=True)
class ShardDocuments:
    """The content of one source shard.

    Args:
        table: Its documents.
        rejected: Number of samples left out, by reason.
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
        tokenizer: A tokenizer for the special tokens of `config`.

    Raises:
        DataError: If the shard cannot be read or lacks samples of its manifest, or (by default) a document is longer
            than a pack.
    """
    rejected: Counter[str] = Counter()
    statistics: Counter[str] = Counter()
    drafts = []
    with ShardReader(shard.path, config.limits, name=shard.relative_path) as reader:
        _check_count(reader, shard)
        rejected.update(reject.reason.value for reject in reader.rejects)
        drafting = _Drafting(reader, shard, config, tokenizer.tokens, statistics)
        for sample in reader.samples:
            try:
                drafts.append(drafting.draft(sample))
            except SampleError as error:
                rejected[error.reason.value] += 1
    table = _drop_overlong(DocumentTable.from_drafts(shard.name, drafts, tokenizer), config, rejected)
    return ShardDocuments(table, dict(sorted(rejected.items())), dict(sorted(statistics.items())))


def _check_count(reader: ShardReader, shard: SourceShard) -> None:
    """Check that a shard holds as many samples as its manifest says; a damaged header hides all samples after it.

    Raises:
        DataError: If it holds more or fewer.
    """
    num_usable = len(reader.samples)
    if not num_usable <= shard.num_samples <= num_usable + len(reader.rejects):
        raise DataError(
            f"{reader.path} holds {num_usable} samples, expected {shard.num_samples} as its manifest says",
            hint="the file is damaged or has changed: `oqvl-shards check` says how; download or import it again",
        )


class _Drafting:
    """Turns the samples of one shard into drafts.

    Args:
        reader: The shard.
        shard: Its source and template.
        config: Template options, image check and limits.
        tokens: The special tokens.
        statistics: Counts that add up over shards, updated in place.
    """

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
        self.needs_uid = not config.mixture_parts[shard.source].is_whole

    def draft(self, sample: Sample) -> Draft:
        """Return the draft of one sample.

        Raises:
            SampleError: If it cannot be packed.
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
            self.statistics[_TRAILING_IMAGES] += num_cut
        return Draft(sample.key, segments, images, image_tokens, self._uid(sample) if self.needs_uid else 0)

    def _caption(self, sample: Sample) -> tuple[list[Segment], tuple[Member, ...]]:
        images = sample.image_members
        if len(images) != 1:
            reason = RejectReason.MANY_IMAGES if images else RejectReason.NO_IMAGE
            raise SampleError(reason, f"{len(images)} image members, expected 1")
        return caption_document(self.reader.text(sample), self.tokens), images

    def _interleaved(self, sample: Sample) -> tuple[list[Segment], tuple[Member, ...], int]:
        """Return the segments, the images, and the number of trailing images that were cut.

        Raises:
            SampleError: If the lists are malformed, have too few or too many images, or name a missing member.
        """
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
        """Return the low 64 bits of the sample's uid.

        A caption does not need its json member, so a broken one is ignored and the uid is derived from the key.
        """
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
        """Return the number of visual tokens of each image that is kept.

        Raises:
            SampleError: If the sample's field is neither a number nor a list with one number per image (including cut
                images), or if a number is not from 1 to `bin_capacity`.
        """
        field = self.config.visual_tokens_field
        if not field:
            return (self.config.visual_tokens_per_image,) * num_images
        value: Any = self.reader.json(sample).get(field)
        counts = value if isinstance(value, list) else [value] * (num_images + num_cut)
        if len(counts) != num_images + num_cut or not all(
            type(count) is int and 0 < count <= self.config.bin_capacity for count in counts
        ):
            raise SampleError(
                PackReason.BAD_VISUAL_TOKENS, f"{field} is {value!r:.40} for {num_images + num_cut} images"
            )
        return tuple(counts[:num_images])


def _drop_overlong(table: DocumentTable, config: PackConfig, rejected: Counter[str]) -> DocumentTable:
    """Leave out the documents that are longer than a pack, and count them in `rejected`.

    Raises:
        DataError: If there are any and `overlong` is `error`.
    """
    lengths = table.lengths()
    overlong = np.flatnonzero(lengths > config.bin_capacity)
    if not len(overlong):
        return table
    if config.overlong == "error":
        raise DataError(
            f"{table.keys[overlong[0]]} has {lengths[overlong[0]]} tokens, but a pack holds {config.bin_capacity}",
            hint="raise bin_capacity, or leave out such documents with overlong=drop",
        )
    rejected[PackReason.OVERLONG.value] += len(overlong)
    return table.take(np.flatnonzero(lengths <= config.bin_capacity))
