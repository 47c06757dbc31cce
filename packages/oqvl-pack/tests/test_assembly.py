"""Packs from documents."""

from __future__ import annotations

from typing import Any

import numpy as np

from oqvl_pack.assembly import assemble, count_record, make_record
from oqvl_pack.division import PackTable
from oqvl_pack.documents import Document
from oqvl_pack.tokenization import TokenizedDocument
from oqvl_shards.tar_index import Member

IMAGE = 9


def document(key: str, ids: list[int], num_targets: int) -> Document:
    is_target = np.arange(len(ids)) >= len(ids) - num_targets
    images = tuple(Member(f"{key}.{i}.JPG", 512 * i, 10) for i in range(ids.count(IMAGE)))
    tokens = TokenizedDocument(np.asarray(ids, dtype=np.int32), is_target)
    return Document(key, tokens, images, tuple(range(16, 16 + len(images))))


TABLES = [
    [document("a", [1, IMAGE, 2], 1), document("b", [3], 0)],
    [document("c", [IMAGE, IMAGE, 4, 5], 2)],
]


def test_record() -> None:
    record = make_record([TABLES[0][0], TABLES[1][0]], IMAGE)
    record.check("record")
    assert record.input_ids.tolist() == [1, 9, 2, 9, 9, 4, 5]
    assert record.is_target.tolist() == [False, False, True, False, False, True, True]
    assert record.document_lengths.tolist() == [3, 4]
    assert record.image_positions.tolist() == [1, 3, 4]
    assert record.image_tokens.tolist() == [16, 16, 17]
    assert (record.document_keys, record.image_types) == (("a", "c"), ("jpg",) * 3)
    assert count_record(record) == {"num_documents": 2, "num_images": 3, "num_tokens": 53, "num_target_tokens": 3}


def test_packs_draw_from_several_shards_and_load_each_once() -> None:
    loaded = []

    def load(shard: int) -> Any:
        loaded.append(shard)
        return TABLES[shard]

    table = PackTable(np.asarray([1, 0, 0]), np.asarray([0, 1, 0]), np.asarray([0, 2, 3]))
    packs = list(assemble(table, load, image_token_id=IMAGE))
    assert [record.document_keys for record, _ in packs] == [("c", "b"), ("a",)]
    assert [images for _, images in packs] == [
        [(1, 0, 10), (1, 512, 10)],
        [(0, 0, 10)],
    ]
    assert sorted(loaded) == [0, 1]
