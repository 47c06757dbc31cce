import os
from pathlib import Path

import pytest

from oqvl_shards.errors import DataError
from oqvl_shards.tar import descriptor_cache
from oqvl_shards.tar.descriptor_cache import DescriptorCache


def num_open() -> int:
    """Files that this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(descriptor_cache, "MAX_OPEN_FILES", 2)
    paths = [tmp_path / str(number) for number in range(3)]
    for path in paths:
        path.write_text(path.name)
    before = num_open()
    with DescriptorCache() as files:
        for path in [*paths, *paths[::-1], paths[0]]:
            assert os.pread(files.descriptor(path), 9, 0) == path.name.encode()
            assert num_open() <= before + 2
        with pytest.raises(DataError, match="absent cannot be opened"):
            files.descriptor(tmp_path / "absent")
    assert num_open() == before


def test_the_file_that_was_not_used_for_longest_is_closed(tmp_path: Path, monkeypatch):
    opened: list[str] = []

    def open_and_note(path: Path) -> int:
        opened.append(path.name)
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(descriptor_cache, "MAX_OPEN_FILES", 2)
    monkeypatch.setattr(descriptor_cache, "open_shard_file", open_and_note)
    paths = {name: tmp_path / name for name in "abc"}
    for path in paths.values():
        path.touch()
    with DescriptorCache() as files:
        for name in "abacab":  # c takes the place of b, which then takes that of c
            files.descriptor(paths[name])
    assert opened == ["a", "b", "c", "b"]


def test_files_are_closed_when_the_block_fails(tmp_path: Path):
    (tmp_path / "a").touch()
    before = num_open()
    with pytest.raises(KeyError), DescriptorCache() as files:
        files.descriptor(tmp_path / "a")
        raise KeyError
    assert num_open() == before
