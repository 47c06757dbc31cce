from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
import torch.distributed as dist
from tiny_trainee import TinyModel, TinyTrainee
from torch import nn

from oqvl_shards.errors import ConfigError, HardwareError
from oqvl_train.config import TrainConfig
from oqvl_train.parallel import World, open_world, shard_model


def make_config(**changes: Any) -> TrainConfig:
    values = {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "device": "cpu", "precision": "fp32"}
    return TrainConfig.model_validate(values | changes)


class Bare(TinyTrainee):
    def __init__(self) -> None:
        self.model = TinyModel()


@pytest.fixture
def world() -> Iterator[World]:
    with open_world(make_config()) as world:
        yield world


def test_a_process_alone_is_a_world_of_one_and_leaves_nothing_behind() -> None:
    excepthook = sys.excepthook
    with open_world(make_config()) as world:
        assert (world.rank, world.size, world.is_first) == (0, 1, True)
        assert world.sum(torch.tensor([2.0])).tolist() == [2.0]
        assert (world.any(True), world.any(False)) == (True, False)
        world.barrier()
    assert not dist.is_initialized()
    assert sys.excepthook is excepthook


def test_a_process_group_that_exists_is_used_and_kept() -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with open_world(make_config()):
            pass
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()


def test_cuda_is_not_taken_for_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HardwareError, match="no CUDA device"), open_world(make_config(device="cuda")):
        pass


class Told(World):
    """One of two processes, in which the first one has told the others what `told` says."""

    told: ClassVar[list[Any]] = []

    def from_first(self, value: Any) -> Any:
        if self.is_first:
            self.told.append(value)
        return self.told[-1]


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (ConfigError("refused", hint="go away"), "refused\n  hint: go away"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (KeyError("lost"), "on rank 0: KeyError: 'lost'"),
    ],
    ids=["ours", "disk", "any"],
)
def test_an_error_of_the_first_process_ends_all(error: Exception, elsewhere: str, world: World) -> None:
    first, second = Told(0, 2, world.device, world.mesh), Told(1, 2, world.device, world.mesh)
    with pytest.raises(type(error)) as of_first, first.first_alone() as is_first:
        assert is_first
        raise error
    assert of_first.value is error
    with pytest.raises(Exception, match=f"^{re.escape(elsewhere)}$"), second.first_alone() as is_first:
        assert not is_first


def test_what_the_first_process_does_without_an_error_lets_all_go_on(world: World) -> None:
    first, second = Told(0, 2, world.device, world.mesh), Told(1, 2, world.device, world.mesh)
    with first.first_alone():
        pass
    with second.first_alone() as is_first:
        assert not is_first


def test_replicated_modules_are_left_alone_and_the_rest_is_sharded(world: World) -> None:
    model = shard_model(Bare(), make_config(), world)
    kinds = {name.split(".")[0]: type(parameter).__name__ for name, parameter in model.named_parameters()}
    assert kinds["tower"] == "Parameter"
    assert set(kinds.values()) == {"Parameter", "DTensor"}
    assert not model.get_submodule("tower").training
    assert model.training


def test_bf16_computes_in_bf16_and_keeps_fp32(world: World) -> None:
    model = shard_model(Bare(), make_config(precision="bf16"), world)
    seen = []
    model.get_submodule("layers.0").register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    layer = model.get_submodule("layers.0")
    layer(torch.ones(3, 16, dtype=torch.bfloat16), torch.eye(3))
    assert seen == [torch.bfloat16]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def freeze_all(model: nn.Module) -> None:
    model.requires_grad_(False)


def train_the_tower(model: nn.Module) -> None:
    model.get_submodule("tower").requires_grad_(True)


def halve_the_head(model: nn.Module) -> None:
    model.get_submodule("head").half()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (freeze_all, "nothing to train: all parameters of TinyModel are frozen"),
        (train_the_tower, "parameter tower.weight is trainable, but belongs to a replicated module"),
        (halve_the_head, "parameter head.weight is trainable and torch.float16, expected torch.float32"),
    ],
)
def test_what_cannot_train_is_refused(spoil: Any, message: str, world: World) -> None:
    trainee = Bare()
    spoil(trainee.model)
    with pytest.raises(ConfigError) as caught:
        shard_model(trainee, make_config(), world)
    assert caught.value.message == message


def test_an_old_torch_trains_in_one_process_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.fsdp import FSDPModule

    monkeypatch.delattr(FSDPModule, "set_reduce_scatter_unused_params")
    shard_model(Bare(), make_config(), world)
    with pytest.raises(HardwareError, match=r"install torch 2\.13 or newer"):
        shard_model(Bare(), make_config(), World(0, 2, world.device, world.mesh))
