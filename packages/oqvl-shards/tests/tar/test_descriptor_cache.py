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
