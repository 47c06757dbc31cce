import shutil
from pathlib import Path

import pytest

from oqvl_shards.dataset import describe_file
from oqvl_shards.manifest import Account
from oqvl_shards.receipt import FileIdentity, Receipt, read_receipt, remove_receipts, write_receipt

STEP = "0" * 64


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    (tmp_path / "a.tar").write_bytes(b"abc")
    receipt = Receipt(
        step=STEP,
        shard=describe_file(tmp_path / "a.tar", tmp_path, 1),
        account=Account(num_in=2, num_kept=1, rejected={"no_text": 1}),
        statistics={"images_jpg": 1},
    )
    return write_receipt(tmp_path, receipt)


def test_a_receipt_reads_back_equal(tmp_path: Path, receipt: Receipt) -> None:
    assert read_receipt(tmp_path, "a.tar", STEP) == receipt


def test_a_shard_is_made_again_unless_its_receipt_fits(tmp_path: Path, receipt: Receipt) -> None:
    assert read_receipt(tmp_path, "a.tar", "1" * 64) is None
    assert read_receipt(tmp_path, "b.tar", STEP) is None
    (tmp_path / "a.tar").write_bytes(b"abcd")
    assert read_receipt(tmp_path, "a.tar", STEP) is None
    (tmp_path / "a.tar").unlink()
    assert read_receipt(tmp_path, "a.tar", STEP) is None


def test_a_shard_with_other_bytes_of_the_same_size_is_made_again(tmp_path: Path, receipt: Receipt) -> None:
    (tmp_path / "a.tar").write_bytes(b"abd")
    assert read_receipt(tmp_path, "a.tar", STEP) is None


def test_a_copy_of_an_unfinished_output_is_gone_on_from(tmp_path: Path, receipt: Receipt) -> None:
    shutil.copytree(tmp_path, tmp_path / "copy", copy_function=shutil.copyfile)
    assert receipt.identity != FileIdentity.of(tmp_path / "copy" / "a.tar")
    assert read_receipt(tmp_path / "copy", "a.tar", STEP) == receipt


def test_the_file_that_was_written_is_known_without_reading_it(
    tmp_path: Path, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oqvl_shards.receipt.describe_file", None)
    assert read_receipt(tmp_path, "a.tar", STEP) == receipt


def test_a_broken_receipt_does_not_count(tmp_path: Path, receipt: Receipt) -> None:
    (tmp_path / "a.tar.receipt").write_bytes(b'{"step": "')
    assert read_receipt(tmp_path, "a.tar", STEP) is None


def test_receipts_are_removed_and_nothing_else(tmp_path: Path, receipt: Receipt) -> None:
    remove_receipts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
