"""Work files: what one run leaves for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oqvl_pack.division import ShardDivision
from oqvl_pack.documents import Document, DocumentTable
from oqvl_pack.tokenization import TokenizedDocument
from oqvl_pack.workspace import ShardWork, load_work, remove_work, save_work
from oqvl_shards.tar_index import Member


def make_work(num_documents: int) -> ShardWork:
    documents = [
        Document(
            f"00000.tar/é{i}",
            TokenizedDocument(np.arange(i + 1, dtype=np.int32), np.arange(i + 1) % 2 == 1),
            (Member(f"é{i}.jpg", 512 * i, i),) * (i % 2),
        )
        for i in range(num_documents)
    ]
    division = ShardDivision(np.asarray([1, 0]), np.asarray([0, 2]), np.asarray([2], dtype=np.int64))
    return ShardWork(DocumentTable.from_documents(documents), division, {"empty_text": 3, "overlong": 1})


def test_holds_everything(tmp_path: Path) -> None:
    for num_documents in (3, 0):
        work = make_work(num_documents)
        save_work(tmp_path, 7, "step", work)
        loaded = load_work(tmp_path, 7, "step")
        assert loaded is not None
        assert loaded.rejected == work.rejected
        assert len(loaded.table) == num_documents
        for index in range(num_documents):
            found, expected = loaded.table[index], work.table[index]
            assert (found.key, found.images) == (expected.key, expected.images)
            assert np.array_equal(found.tokens.input_ids, expected.tokens.input_ids)
            assert np.array_equal(found.tokens.is_target, expected.tokens.is_target)
        assert loaded.division.documents.tolist() == [1, 0]
        assert loaded.division.offsets.tolist() == [0, 2]
        assert loaded.division.leftovers.tolist() == [2]


def test_work_of_another_step_is_none(tmp_path: Path) -> None:
    save_work(tmp_path, 7, "step", make_work(3))
    assert load_work(tmp_path, 7, "other") is None
    assert load_work(tmp_path, 8, "step") is None


def test_removal(tmp_path: Path) -> None:
    save_work(tmp_path, 7, "step", make_work(3))
    remove_work(tmp_path)
    remove_work(tmp_path)
    assert list(tmp_path.iterdir()) == []
