"""Packs from documents: the records, and where their images lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from oqvl_pack.division import PackTable
from oqvl_pack.documents import Document, DocumentTable
from oqvl_shards.packed import ImageReference, PackRecord
from oqvl_shards.sample import member_type


class AssembledPack(NamedTuple):
    """A pack, ready to be written.

    Args:
        record: Its tokens and boundaries.
        images: Where the images of its placeholders lie, by number of the source shard.
    """

    record: PackRecord
    images: list[ImageReference]


def assemble(
    packs: PackTable, load_table: Callable[[int], DocumentTable], *, image_token_id: int
) -> Iterator[AssembledPack]:
    """Yield the packs, in order.

    Args:
        packs: The documents of each pack.
        load_table: Gives the documents of the source shard with an index; called once a shard.
        image_token_id: Id of the image placeholder.
    """
    documents: dict[int, Document] = {}
    for shard in np.unique(packs.shards).tolist():
        table = load_table(shard)
        for place in np.flatnonzero(packs.shards == shard).tolist():
            documents[place] = table[packs.documents[place]]
    shards = packs.shards.tolist()
    for begin, end in pairwise(packs.offsets.tolist()):
        record = make_record([documents[place] for place in range(begin, end)], image_token_id)
        images = [
            ImageReference(shards[place], image.offset, image.size)
            for place in range(begin, end)
            for image in documents[place].images
        ]
        yield AssembledPack(record, images)


def make_record(documents: Sequence[Document], image_token_id: int) -> PackRecord:
    """Put documents end to end."""
    input_ids = np.concatenate([document.tokens.input_ids for document in documents])
    return PackRecord(
        input_ids=input_ids,
        is_target=np.concatenate([document.tokens.is_target for document in documents]),
        document_lengths=np.asarray([len(document.tokens.input_ids) for document in documents], dtype=np.int32),
        image_positions=np.flatnonzero(input_ids == image_token_id).astype(np.int32),
        image_tokens=np.asarray([count for one in documents for count in one.image_tokens], dtype=np.int32),
        document_keys=tuple(document.key for document in documents),
        image_types=tuple(member_type(image.name) for document in documents for image in document.images),
    )


def count_record(record: PackRecord) -> Counter[str]:
    """Count what the manifest's details add up over all packs."""
    return Counter(
        num_documents=len(record.document_lengths),
        num_images=len(record.image_positions),
        num_tokens=record.num_tokens,
        num_target_tokens=int(record.is_target.sum()),
    )
