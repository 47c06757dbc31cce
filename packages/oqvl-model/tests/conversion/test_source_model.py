from __future__ import annotations

import pytest

from oqvl_model.conversion.source_model import read_json, refuse
from oqvl_shards.errors import ConfigError


def test_a_table_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}')
    assert read_json(path, "source") == {"a": 1}
    for content, message in [("[1]", "holds a list, expected a table"), ("{", "cannot be read")]:
        path.write_text(content)
        with pytest.raises(ConfigError, match=f"source: .*{message}"):
            read_json(path, "source")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_json(tmp_path / "missing.json", "source")


def test_a_refusal_says_what_would_be_needed():
    error = refuse("the tower", "clip", "SigLIP", "a class token")
    assert str(error) == "the tower is 'clip'; only SigLIP can be converted\n  hint: it would need a class token"
