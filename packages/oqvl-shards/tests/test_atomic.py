from pathlib import Path

import pytest

from oqvl_shards.atomic import atomic_open, atomic_write, remove_partials


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


def test_two_writers_of_one_path_never_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_open(path) as slow:
        slow.write(b"the slow one's")
        with atomic_open(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b" bytes")
    assert path.read_bytes() == b"the slow one's bytes"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [
        "file",
        "file.partial",
        "file.0123456789.partial",
        "step-000002.partial/inner",
        "deep/file.0123abcz.partial",
    ]
    removed = ["file.0123abcd.partial", "deep/er/00000.tar.ffffffff.partial"]
    for name in (*kept, *removed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    remove_partials(tmp_path)
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(left) == sorted(kept)
