"""Runs of the tiny trainee: its inputs, their configuration, an uninterrupted run, and two processes for more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # recipes bind the tiny trainee by its dotted path

import tiny_trainee
from processes import MakeConfig, Processes

from oqvl_train.config import TrainConfig
from oqvl_train.run import train


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need a CUDA device if there is none."""
    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("gpu")])
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


@pytest.fixture(scope="session")
def two_processes() -> Iterator[Processes]:
    """Two processes that train together whenever a test asks."""
    processes = Processes(2)
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A start checkpoint and a dataset of eleven packs."""
    root = tmp_path_factory.mktemp("inputs")
    return tiny_trainee.write_checkpoint(root / "init"), tiny_trainee.write_packs(root / "packs", 11)


@pytest.fixture(scope="session")
def make_config(inputs: tuple[Path, Path]) -> MakeConfig:
    """Make the configuration of a run: two epochs of three steps in fp32, checkpoints every two steps."""

    def make(output: Path, **changes: Any) -> TrainConfig:
        checkpoint, packed = inputs
        values: dict[str, Any] = {
            "checkpoint": checkpoint,
            "packed": packed,
            "output": output,
            "trainee": "tiny_trainee:TinyTrainee",
            "global_batch_size": 4,
            "micro_batch_size": 1,
            "num_epochs": 2,
            "learning_rate": 1e-2,
            "precision": "fp32",
            "checkpoint_every": 2,
            "log_every": 2,
            "num_loader_workers": 2,
            "device": "cpu",
            "peak_flops": 1e9,
        }
        return TrainConfig.model_validate(values | changes)

    return make


@pytest.fixture(scope="session")
def alone(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an uninterrupted run of one process, one pack at a time."""
    output = tmp_path_factory.mktemp("alone") / "run"
    report = train(make_config(output))
    assert report.is_finished
    assert report.step == report.num_steps == 6
    return output
