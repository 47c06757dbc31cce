from __future__ import annotations

import json

import pytest

from oqvl_model.config import ConvertConfig
from oqvl_model.conversion import layouts
from oqvl_shards.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "content", "layout"),
    [
        ("config.json", {"model": {"arch_specifier": "no-align+avgpool"}}, "open-qwen2vl"),
        ("config.json", {"model_type": "llava"}, "llava"),
        ("config.json", {"model_type": "llava_qwen"}, "llava-qwen"),
        (".metadata", {}, "trainer"),
    ],
)
def test_the_files_show_the_layout(tmp_path, monkeypatch, name, content, layout):
    (tmp_path / name).write_text(json.dumps(content))
    opened = []
    monkeypatch.setitem(layouts._READERS, layout, opened.append)
    for stated in ("auto", layout):
        config = ConvertConfig(source=tmp_path, output=tmp_path / "model", layout=stated)
        layouts.open_source(config)
        assert opened.pop() is config


def test_an_unknown_layout_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "blip"}))
    with pytest.raises(ConfigError, match="has model_type 'blip'; expected a table 'model' with arch_specifier"):
        layouts.open_source(ConvertConfig(source=tmp_path, output=tmp_path / "model"))
