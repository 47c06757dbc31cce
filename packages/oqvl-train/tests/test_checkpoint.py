from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainee import TinyModel, TinyTrainee
from torch import nn

from oqvl_shards.errors import DataError
from oqvl_train.checkpoint import load_latest_checkpoint, save_checkpoint
from oqvl_train.config import TrainConfig
from oqvl_train.optimizer import Optimizer
from oqvl_train.parallel import World, open_world, shard_model
from oqvl_train.run_directory import RunDirectory, partial

CONFIG = TrainConfig.model_validate(
    {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "device": "cpu", "precision": "fp32"}
)


class Counting(TinyModel):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


class Bare(TinyTrainee):
    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = Counting()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world(CONFIG) as world:
        yield world


def make(seed: int, world: World) -> tuple[nn.Module, Optimizer]:
    model = shard_model(Bare(seed), CONFIG, world)
    optimizer = Optimizer(model, CONFIG)
    for number, state in enumerate(optimizer.state_dict().values()):
        for value in state.values():
            value.fill_(seed + number)
    model.get_buffer("count").fill_(seed)
    return model, optimizer


def content(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("tower.")}
    for name, state in optimizer.state_dict().items():
        tensors |= {f"{name} {key}": value for key, value in state.items()}
    return {
        name: (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).tolist()
        for name, tensor in tensors.items()
    }


def test_a_checkpoint_restores_everything_that_is_trained(world: World, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    saved, other = make(1, world), make(2, world)
    assert content(*saved) != content(*other)
    save_checkpoint(directory, 5, *saved, world, keep=2)
    assert load_latest_checkpoint(directory, *other) == 5
    assert content(*saved) == content(*other)


def test_without_a_checkpoint_no_step_is_done(world: World, tmp_path: Path) -> None:
    model, optimizer = make(1, world)
    before = content(model, optimizer)
    assert load_latest_checkpoint(RunDirectory(tmp_path), model, optimizer) == 0
    assert content(model, optimizer) == before


def test_the_newest_are_kept_and_an_incomplete_one_does_not_count(world: World, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for step in (1, 2, 3):
        save_checkpoint(directory, step, *make(step, world), world, keep=2)
    leftover = partial(directory.checkpoint(4))
    leftover.mkdir()
    (leftover / "junk").touch()
    other = make(9, world)
    assert load_latest_checkpoint(directory, *other) == 3
    assert content(*other) == content(*make(3, world))
    save_checkpoint(directory, 4, *other, world, keep=2)
    assert directory.checkpoint_steps() == [3, 4]
    assert not (directory.checkpoint(4) / "junk").exists()


def test_a_damaged_checkpoint_is_named(world: World, tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    save_checkpoint(directory, 1, *make(1, world), world, keep=2)
    for file in directory.checkpoint(1).glob("*.distcp"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="step-000001 cannot be loaded"):
        load_latest_checkpoint(directory, *make(2, world))
