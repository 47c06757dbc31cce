from pathlib import Path

import pytest

from oqvl_shards.errors import ConfigError
from oqvl_shards.importers.config import (
    DamagedShards,
    ImportLlavaConfig,
    ImportObelicsConfig,
    ImportPackedJsonConfig,
    ImportWebdatasetConfig,
)

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


def test_pinning_leaves_the_configuration_as_it_was():
    config = llava()
    assert config.pinned(FOUND) != config
    assert config.source_sha256 is None


def test_every_field_of_an_import_says_what_it_is():
    for config in (ImportLlavaConfig, ImportObelicsConfig, ImportPackedJsonConfig, ImportWebdatasetConfig):
        assert all(field.description for field in config.model_fields.values()), config
        assert "num_workers (1)" in config.help_text()


def test_what_is_done_with_damaged_shards_decides_the_digest():
    digests = {
        ImportWebdatasetConfig(directory=Path("d"), name="n", damaged_shards=policy).digest()
        for policy in DamagedShards
    }
    assert len(digests) == len(DamagedShards)
    with pytest.raises(ConfigError, match="damaged_shards"):
        ImportWebdatasetConfig.from_values({"directory": "d", "name": "n"}, ["damaged_shards=ignore"])
