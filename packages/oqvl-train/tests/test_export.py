from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_trainee import TinyTrainee

from oqvl_shards.check import check_shards
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import open_dataset
from oqvl_shards.manifest import CheckpointDetails, Kind, Lineage, PackedDetails
from oqvl_shards.packed import PackedReader
from oqvl_shards.stage_output import stage_output
from oqvl_train.config import TrainConfig
from oqvl_train.export import export_model
from oqvl_train.metrics import StepMetrics, append_rows
from oqvl_train.parallel import open_world, shard_model
from oqvl_train.run_directory import RunDirectory

CONFIG = TrainConfig.model_validate(
    {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "device": "cpu", "precision": "fp32"}
)
DETAILS = CheckpointDetails(architecture="TinyModel", stage="sft", step=2, visual_tokens_per_image=3)
LINEAGE = Lineage.derive("oqvl-train run", "0.1.0", StageConfig())
METRICS = [
    StepMetrics(step=1, loss=3.0, learning_rate=0.1, grad_norm=1.0, num_targets=5, num_tokens=9),
    StepMetrics(step=2, loss=None, learning_rate=0.1, grad_norm=None, num_targets=5, num_tokens=9, is_skipped=True),
]


@pytest.fixture
def directory(tmp_path: Path, inputs: tuple[Path, Path]) -> RunDirectory:
    """A run that was killed while it wrote the model, and has exported it since."""
    directory = RunDirectory(tmp_path / "run")
    details = PackedReader(inputs[1]).details
    assert isinstance(details, PackedDetails)
    trainee = TinyTrainee(inputs[0], details)
    with (
        open_world(CONFIG) as world,
        stage_output("oqvl-train run", directory.path, StageConfig(), version="0.1.0", dataset="model") as output,
    ):
        append_rows(directory.metrics, METRICS)
        directory.model.mkdir()
        (directory.model / "junk").touch()
        shard_model(trainee, CONFIG, world)
        export_model(directory, trainee, DETAILS, output, world)
    return directory


def test_a_sharded_model_is_written_whole(directory: RunDirectory, inputs: tuple[Path, Path]) -> None:
    start = load_file(inputs[0] / "model.safetensors")
    found = load_file(directory.model / "model.safetensors")
    assert found.keys() == start.keys()
    assert all(found[name].equal(tensor) for name, tensor in start.items())


def test_its_manifest_names_its_files_and_no_leftover(directory: RunDirectory) -> None:
    dataset = open_dataset(directory.model, Kind.CHECKPOINT)
    assert check_shards(dataset).is_good
    assert [shard.path for shard in dataset.manifest.shards] == ["config.json", "model.safetensors"]
    assert sorted(path.name for path in directory.model.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
    ]
    assert sorted(path.name for path in directory.path.iterdir()) == ["metrics.jsonl", "model"]


def test_its_manifest_summarizes_the_run(directory: RunDirectory) -> None:
    manifest = open_dataset(directory.model).manifest
    assert (manifest.details, manifest.lineage, manifest.name) == (DETAILS, LINEAGE, "run")
    assert manifest.statistics == {"num_steps": 2, "num_skipped_steps": 1, "num_tokens": 18, "num_targets": 10}
