"""Packs from documents."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.corpus.assembly import assemble, count_record, make_record
from oqvl_pack.corpus.shard_packing import PackTable
from oqvl_pack.documents.document_table import DocumentTable

IMAGE = 9


def table(*documents: tuple[str, list[int], int]) -> DocumentTable:
    """Make a table of (key, ids, number of targets at the end)."""
    ids = [tokens for _, tokens, _ in documents]
    num_images = [tokens.count(IMAGE) for tokens in ids]
    total = sum(num_images)
    return DocumentTable(
        keys=tuple(key for key, _, _ in documents),
        uids=np.arange(len(documents), dtype=np.uint64),
        input_ids=np.asarray([token for one in ids for token in one], dtype=np.int32),
        is_target=np.concatenate([np.arange(len(one)) >= len(one) - targets for _, one, targets in documents]),
        token_offsets=np.cumsum([0, *map(len, ids)]),
        image_types=("jpg",) * total,
        image_spans=np.asarray([(512 * number, 10) for number in range(total)]).reshape(-1, 2),
        image_tokens=np.arange(16, 16 + total, dtype=np.int32),
        image_offsets=np.cumsum([0, *num_images]),
    )


TABLES = [
    table(("a", [1, IMAGE, 2], 1), ("b", [3], 0)),
    table(("c", [IMAGE, IMAGE, 4, 5], 2)),
]


def test_record() -> None:
    record = make_record(DocumentTable.concatenate(TABLES), 0, 3, IMAGE)
    record.check("record")
    assert record.input_ids.tolist() == [1, 9, 2, 3, 9, 9, 4, 5]
    assert record.is_target.tolist() == [False, False, True, False, False, False, True, True]
    assert record.document_lengths.tolist() == [3, 1, 4]
    assert record.image_positions.tolist() == [1, 4, 5]
    assert record.image_tokens.tolist() == [16, 16, 17]
    assert (record.document_keys, record.image_types) == (("a", "b", "c"), ("jpg",) * 3)
    assert count_record(record) == {"num_documents": 3, "num_images": 3, "num_tokens": 54, "num_target_tokens": 3}


def test_packs_draw_from_several_shards_and_load_each_once() -> None:
    loaded = []

    def load(shard: int) -> DocumentTable:
        loaded.append(shard)
        return TABLES[shard]

    packs = PackTable(np.asarray([1, 0, 0]), np.asarray([0, 1, 0]), np.asarray([0, 2, 3]))
    assembled = list(assemble(packs, load, image_token_id=IMAGE))
    assert [pack.record.document_keys for pack in assembled] == [("c", "b"), ("a",)]
    assert [pack.record.input_ids.tolist() for pack in assembled] == [[9, 9, 4, 5, 3], [1, 9, 2]]
    assert [pack.images for pack in assembled] == [[(1, 0, 10), (1, 512, 10)], [(0, 0, 10)]]
    assert sorted(loaded) == [0, 1]


@given(st.lists(st.tuples(st.sampled_from([(0, 0), (0, 1), (1, 0)])), min_size=1, max_size=3, unique=True), st.data())
def test_any_order_of_documents(chosen: list[tuple[tuple[int, int]]], data: st.DataObject) -> None:
    documents = [place for (place,) in chosen]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(documents) - 1))) if len(documents) > 1 else [])
    shards, indices = np.asarray(documents).T
    packs = PackTable(shards, indices, np.asarray([0, *cuts, len(documents)]))
    assembled = list(assemble(packs, TABLES.__getitem__, image_token_id=IMAGE))
    expected = [TABLES[shard][index] for shard, index in documents]
    assert [key for pack in assembled for key in pack.record.document_keys] == [document.key for document in expected]
    assert [token for pack in assembled for token in pack.record.input_ids.tolist()] == [
        token for document in expected for token in document.tokens.input_ids.tolist()
    ]
    # An image is found in the shard of its document, at its own offset.
    assert [tuple(image) for pack in assembled for image in pack.images] == [
        (shard, image.offset, image.size)
        for (shard, _), document in zip(documents, expected, strict=True)
        for image in document.images
    ]
    for pack in assembled:
        pack.record.check("record")
