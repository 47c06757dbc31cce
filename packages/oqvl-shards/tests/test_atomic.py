from pathlib import Path

import pytest

from oqvl_shards.atomic import TEMPORARY_SUFFIX, atomic_open, atomic_write


def test_writes_the_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    atomic_write(tmp_path / "deep" / "file", b"bytes")
    assert (tmp_path / "deep" / "file").read_bytes() == b"bytes"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_nothing_appears_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_open(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"


@pytest.mark.parametrize("error_type", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_file(tmp_path: Path, error_type: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error_type), atomic_open(path) as file:
        file.write(b"new")
        raise error_type
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_killed_writers_leftover_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.with_name(path.name + TEMPORARY_SUFFIX).write_bytes(b"a longer leftover")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
