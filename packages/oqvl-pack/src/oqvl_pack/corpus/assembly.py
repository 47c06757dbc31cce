"""Assemble packs from documents: the records, and where their images are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from oqvl_pack.corpus.shard_packing import PackTable
from oqvl_pack.documents.document_table import DocumentTable
from oqvl_shards.packed import ImageReference, PackRecord


class AssembledPack(NamedTuple):
    """A pack, ready to be written.

    Args:
        record: Its tokens and boundaries.
        images: For each placeholder, the index of the source shard that holds the image, and where.
    """

    record: PackRecord
    images: list[ImageReference]


def assemble(
    packs: PackTable, load_table: Callable[[int], DocumentTable], *, image_token_id: int
) -> Iterator[AssembledPack]:
    """Yield the packs in order.

    All documents of these packs are in memory at the same time, so callers pass the packs of one output shard.

    Args:
        packs: The documents of each pack.
        load_table: Returns the documents of the source shard with a given index. It is called once per shard.
        image_token_id: Id of the image placeholder.
    """
    # Take the documents from one source shard after another, then put them back in the order of the packs.
    by_shard = np.argsort(packs.shards, kind="stable")
    shards, starts = np.unique(packs.shards[by_shard], return_index=True)
    documents_by_shard = np.split(packs.documents[by_shard], starts[1:])
    tables = [
        load_table(shard).take(documents) for shard, documents in zip(shards.tolist(), documents_by_shard, strict=True)
    ]
    table = DocumentTable.concatenate(tables).take(np.argsort(by_shard))
    # An image is located by its source shard, offset and size.
    num_images = np.diff(table.image_offsets)
    references = np.column_stack([np.repeat(packs.shards, num_images), table.image_spans]).tolist()
    for begin, end in pairwise(packs.offsets.tolist()):
        images = references[table.image_offsets[begin] : table.image_offsets[end]]
        record = make_record(table, begin, end, image_token_id)
        yield AssembledPack(record, [ImageReference(*image) for image in images])


def make_record(table: DocumentTable, begin: int, end: int, image_token_id: int) -> PackRecord:
    """Return one pack of the documents from `begin` up to `end`, in the order of the table.

    Args:
        table: Documents.
        begin: Index of the first document.
        end: Index after the last document.
        image_token_id: Id of the image placeholder.
    """
    tokens = slice(table.token_offsets[begin], table.token_offsets[end])
    images = slice(table.image_offsets[begin], table.image_offsets[end])
    input_ids = table.input_ids[tokens]
    return PackRecord(
        input_ids=input_ids,
        is_target=table.is_target[tokens],
        document_lengths=np.diff(table.token_offsets[begin : end + 1]).astype(np.int32),
        image_positions=np.flatnonzero(input_ids == image_token_id).astype(np.int32),
        image_tokens=table.image_tokens[images],
        document_keys=table.keys[begin:end],
        image_types=table.image_types[images],
    )


def count_record(record: PackRecord) -> Counter[str]:
    """Return the counts of one pack that the manifest's details add up over all packs."""
    return Counter(
        num_documents=len(record.document_lengths),
        num_images=len(record.image_positions),
        num_tokens=record.num_tokens,
        num_target_tokens=int(record.is_target.sum()),
    )
