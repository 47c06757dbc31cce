from pathlib import Path

import pytest

from oqvl_shards.errors import ConfigError
from oqvl_shards.importers.config import ImportLlavaConfig, ImportWebdatasetConfig

FOUND = "ab" * 32


def llava(output: str = "out", **fields) -> ImportLlavaConfig:
    return ImportLlavaConfig(annotations=Path("a.json"), images=Path("images"), output=Path(output), name="n", **fields)


def test_a_found_source_is_pinned_and_decides_the_digest():
    assert llava().pinned(FOUND).source_sha256 == FOUND
    assert llava().pinned(FOUND).digest() != llava().digest()


def test_the_configured_source_must_be_the_one_found():
    assert llava(source_sha256=FOUND).pinned(FOUND) == llava(source_sha256=FOUND)
    with pytest.raises(ConfigError, match=f"the source has {FOUND}, expected {'cd' * 32}") as error:
        llava(source_sha256="cd" * 32).pinned(FOUND)
    assert "leave source_sha256 out" in error.value.hint


def test_paths_and_workers_are_not_in_the_lineage():
    assert llava("here", num_workers=1).digest() == llava("there", num_workers=8).digest()
    assert llava(records_per_shard=1).digest() != llava(records_per_shard=2).digest()
    here, there = (ImportWebdatasetConfig(directory=Path(name), name="n") for name in ("here", "there"))
    assert here.digest() == there.digest()
