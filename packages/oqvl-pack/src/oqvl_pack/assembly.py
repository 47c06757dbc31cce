"""Packs from documents: the records, and where their images are copied from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oqvl_pack.division import PackTable
from oqvl_pack.documents import Document, DocumentTable, image_type
from oqvl_shards.packed import ImageSource, PackRecord


class SourceDocument(NamedTuple):
    """A document and the tar that its images lie in."""

    document: Document
    tar: Path


def assemble(
    packs: PackTable,
    load_table: Callable[[int], DocumentTable],
    tar_path: Callable[[int], Path],
    *,
    image_token_id: int,
    visual_tokens_per_image: int,
) -> Iterator[tuple[PackRecord, list[ImageSource]]]:
    """Yield each pack's record with its images.

    Args:
        packs: The documents of each pack.
        load_table: Gives the documents of the source shard with an index; called once a shard.
        tar_path: Gives the source shard's file.
        image_token_id: Id of the image placeholder.
        visual_tokens_per_image: Visual tokens that a placeholder stands for.
    """
    documents: dict[int, SourceDocument] = {}
    for shard in np.unique(packs.shards).tolist():
        table = load_table(shard)
        for place in np.flatnonzero(packs.shards == shard).tolist():
            documents[place] = SourceDocument(table[packs.documents[place]], tar_path(shard))
    for begin, end in pairwise(packs.offsets.tolist()):
        members = [documents[place] for place in range(begin, end)]
        record = make_record([member.document for member in members], image_token_id, visual_tokens_per_image)
        yield record, [(member.tar, image) for member in members for image in member.document.images]


def make_record(documents: Sequence[Document], image_token_id: int, visual_tokens_per_image: int) -> PackRecord:
    """Put documents end to end."""
    input_ids = np.concatenate([document.tokens.input_ids for document in documents])
    images = [image for document in documents for image in document.images]
    return PackRecord(
        input_ids=input_ids,
        is_target=np.concatenate([document.tokens.is_target for document in documents]),
        document_lengths=np.asarray([len(document.tokens.input_ids) for document in documents], dtype=np.int32),
        image_positions=np.flatnonzero(input_ids == image_token_id).astype(np.int32),
        image_tokens=np.full(len(images), visual_tokens_per_image, dtype=np.int32),
        document_keys=tuple(document.key for document in documents),
        image_types=tuple(image_type(image) for image in images),
    )


def count_record(record: PackRecord) -> Counter[str]:
    """Count what the manifest's details add up over all packs."""
    return Counter(
        num_documents=len(record.document_lengths),
        num_images=len(record.image_positions),
        num_tokens=record.num_tokens,
        num_target_tokens=int(record.is_target.sum()),
    )
