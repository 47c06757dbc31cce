from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.importers.config import ImportCsvConfig, ImportPromptsConfig
from oqvl_shards.errors import ConfigError

OURS = ("uid", "uid_derived", "key", "reject")


def config(**values) -> ImportCsvConfig:
    return ImportCsvConfig.from_values({"source": "s", "output": "o", "name": "n", **values})


@pytest.mark.parametrize(
    ("values", "column"),
    [({}, "uid"), ({"pool": "p"}, "key"), ({"identity": "id"}, "id"), ({"identity": "id", "pool": "p"}, "id")],
)
def test_the_identity_is_the_uid_or_with_a_pool_the_key(values: dict, column: str):
    assert config(**values).identity_column == column


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sampled_from(["x", "y", "z", "", *OURS])))
def test_new_names_are_free_and_distinct(columns: dict[str, str]):
    names = list(columns.values())
    is_fine = len(set(names)) == len(names) and not {"", *OURS} & set(names)
    if is_fine:
        assert config(columns=columns).columns == columns
    else:
        with pytest.raises(ConfigError, match="found the new names"):
            config(columns=columns)


def test_where_files_are_does_not_decide_an_import():
    assert config(source=Path("/a")).digest() == config(source=Path("/b"), output=Path("/c"), num_workers=7).digest()
    assert config(name="m").digest() != config().digest()


def test_a_prompt_set_is_a_toml_file():
    with pytest.raises(ConfigError, match=r"expected a file that ends in \.toml"):
        ImportPromptsConfig.from_values({"source": "s", "output": "pool/manifest.json"})
