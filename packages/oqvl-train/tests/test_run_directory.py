from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Lineage
from oqvl_train.run_directory import RunDirectory, RunFile, partial


class Config(StageConfig):
    seed: int = 1


def run_file(seed: int = 1) -> RunFile:
    return RunFile(stage="pretrain", num_steps=3, lineage=Lineage.derive("oqvl-train run", "0.1.0", Config(seed=seed)))


def test_only_complete_checkpoints_count(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert directory.checkpoint_steps() == []
    for step in (1000000, 20, 3):
        directory.checkpoint(step).mkdir(parents=True)
    partial(directory.checkpoint(2000000)).mkdir()
    (directory.checkpoints / "step-latest").mkdir()
    assert directory.checkpoint_steps() == [3, 20, 1000000]
    assert directory.checkpoint(3).name == "step-000003"


def test_a_directory_remembers_its_run(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    partial(directory.checkpoint(4)).mkdir(parents=True)
    directory.checkpoint(2).mkdir()
    directory.begin(run_file(seed=2))
    assert directory.read_run_file() == run_file(seed=2)
    assert [path.name for path in directory.checkpoints.iterdir()] == ["step-000002"]


def test_a_directory_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no training run"):
        RunDirectory(tmp_path).read_run_file()


def test_a_damaged_run_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match=r"run\.json is malformed"):
        RunDirectory(tmp_path).read_run_file()
