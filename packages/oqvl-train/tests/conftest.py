"""Runs of the tiny trainee: its inputs, their configuration, and two processes that live as long as the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # where the dotted path of the tiny trainee leads

import tiny_trainee
from processes import MakeConfig, Processes

from oqvl_train.config import TrainConfig


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a CUDA device where there is none."""
    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("gpu")])
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


@pytest.fixture(scope="session")
def pair() -> Iterator[Processes]:
    """Two processes that stay."""
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
