"""Work files: what one run leaves for the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oqvl_pack.corpus.work_files import WORK_DIRECTORY, load_work, save_work
from oqvl_pack.documents.document_table import DocumentTable
from oqvl_pack.documents.drafting import ShardDocuments


def make_work(num_documents: int) -> ShardDocuments:
    numbers = np.arange(num_documents)
    token_offsets = np.concatenate([[0], np.cumsum(numbers + 1)])
    num_images = num_documents // 2
    table = DocumentTable(
        keys=tuple(f"00000.tar/é{i}" for i in range(num_documents)),
        uids=np.arange(num_documents, dtype=np.uint64) << np.uint64(60),
        input_ids=np.arange(token_offsets[-1], dtype=np.int32),
        is_target=np.arange(token_offsets[-1]) % 2 == 1,
        token_offsets=token_offsets,
        image_types=("jpg",) * num_images,
        image_spans=np.arange(2 * num_images).reshape(-1, 2),
        image_tokens=np.arange(num_images, dtype=np.int32) + 5,
        image_offsets=np.concatenate([[0], np.cumsum(numbers % 2)]),
    )
    return ShardDocuments(table, {"empty_text": 3, "overlong": 1}, {"num_trailing_images_cut": 2})


def test_holds_everything(tmp_path: Path) -> None:
    for num_documents in (3, 0):
        work = make_work(num_documents)
        save_work(tmp_path, 7, "step", work)
        loaded = load_work(tmp_path, 7, "step")
        assert loaded is not None
        assert (loaded.rejected, loaded.statistics) == (work.rejected, work.statistics)
        assert len(loaded.table) == num_documents
        for index in range(num_documents):
            loaded_document, expected = loaded.table[index], work.table[index]
            assert loaded_document[0] == expected[0] and loaded_document[2:] == expected[2:]
            assert np.array_equal(loaded_document.tokens.input_ids, expected.tokens.input_ids)
            assert np.array_equal(loaded_document.tokens.is_target, expected.tokens.is_target)


def test_work_of_another_step_is_none(tmp_path: Path) -> None:
    save_work(tmp_path, 7, "step", make_work(3))
    assert load_work(tmp_path, 7, "other") is None
    assert load_work(tmp_path, 8, "step") is None


def test_a_file_of_another_step_is_replaced(tmp_path: Path) -> None:
    save_work(tmp_path, 7, "step", make_work(3))
    save_work(tmp_path, 7, "other", make_work(2))
    assert load_work(tmp_path, 7, "step") is None
    replaced = load_work(tmp_path, 7, "other")
    assert replaced is not None
    assert len(replaced.table) == 2
    assert [path.name for path in (tmp_path / WORK_DIRECTORY).iterdir()] == ["00007.npz"]


def test_columns_need_no_pickle(tmp_path: Path) -> None:
    save_work(tmp_path, 0, "step", make_work(3))
    with np.load(tmp_path / WORK_DIRECTORY / "00000.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= {"U", "i", "u", "b"}


def test_a_file_cut_short_is_ignored(tmp_path: Path) -> None:
    save_work(tmp_path, 0, "step", make_work(3))
    path = tmp_path / WORK_DIRECTORY / "00000.npz"
    whole = path.read_bytes()
    for size in (*range(0, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert load_work(tmp_path, 0, "step") is None
    path.write_bytes(whole)
    assert load_work(tmp_path, 0, "step") is not None


def test_no_altered_byte_changes_a_document(tmp_path: Path) -> None:
    work = make_work(3)
    save_work(tmp_path, 0, "step", work)
    path = tmp_path / WORK_DIRECTORY / "00000.npz"
    whole = path.read_bytes()
    num_ignored = 0
    for place in range(0, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        loaded = load_work(tmp_path, 0, "step")
        if loaded is None:
            num_ignored += 1
            continue
        # Dates and the like in the headers of the archive do not matter.
        assert (loaded.rejected, loaded.statistics) == (work.rejected, work.statistics)
        columns = work.table.columns()
        assert all(np.array_equal(column, columns[name]) for name, column in loaded.table.columns().items())
    assert num_ignored > 0.5 * len(whole) / 29
