from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oqvl_filter.config import TrainDfnConfig
from oqvl_filter.dfn.run import train_dfn
from oqvl_shards.errors import ConfigError, MissingExtraError


def config_of(pool: Path, tmp_path: Path, weights: Path) -> TrainDfnConfig:
    return TrainDfnConfig(clean=pool, output=tmp_path / "dfn", image_trunk_weights=weights)


def test_weights_that_do_not_exist_are_named_before_anything_is_claimed(make_pool, plain_pairs, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no file at .*none\.pth") as error:
        train_dfn(config_of(make_pool([plain_pairs(2)]).path, tmp_path, tmp_path / "none.pth"))
    assert error.value.hint == "check image_trunk_weights="
    assert not (tmp_path / "dfn").exists()


def test_a_missing_extra_is_named_and_leaves_no_output(make_pool, plain_pairs, tmp_path: Path, monkeypatch):
    (tmp_path / "trunk.pth").write_bytes(b"w")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match="clip"):
        train_dfn(config_of(make_pool([plain_pairs(2)]).path, tmp_path, tmp_path / "trunk.pth"))
    assert not (tmp_path / "dfn").exists()
