"""The processes of a run, and how a model is laid out over them: FSDP2, one code path from one process to many.

Gradients and losses are summed over processes, not averaged: the loss is a mean over the target tokens of the whole
global batch, and only the optimizer step knows how many there are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from oqvl_shards.errors import ConfigError, HardwareError
from oqvl_train.config import Precision, Recompute, TrainConfig
from oqvl_train.trainee import Trainee

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among the processes of the run.

    Args:
        rank: 0 .. size - 1; rank 0 writes files and talks.
        size: Number of processes.
        device: Where this process computes.
        mesh: 1-D (shard), or 2-D (replicate, shard) when the model is held several times.
    """

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add `values` up over all processes, in place."""
        dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is set on any process; costs no synchronisation with the device."""
        if self.size == 1:
            return flag
        flags = torch.tensor(flag, dtype=torch.int32)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags)

    def from_first(self, value: T) -> T:
        """Return the `value` of rank 0 in every process; it is pickled on its way."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def barrier(self) -> None:
        """Wait for all processes."""
        self.any(False)


@contextmanager
def open_world(config: TrainConfig) -> Iterator[World]:
    """Join the processes that torchrun started, or make a world of one.

    A process group that exists already is used and left as it is.

    Raises:
        HardwareError: When `device=cuda` and there is no CUDA device.
        ConfigError: When the number of processes is not a multiple of `num_replicas`.
    """
    device = _device(config.device)
    # Control flow (flags, barriers, checkpoint plans) goes over gloo on the CPU and never waits for the device.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    is_ours = not dist.is_initialized()
    excepthook = sys.excepthook  # a process group replaces it for good, with one that names the rank
    if is_ours and "RANK" in os.environ:
        dist.init_process_group(backend)
    elif is_ours:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device, _mesh(config, device))
    finally:
        if is_ours:
            dist.destroy_process_group()
            sys.excepthook = excepthook


def _device(name: str) -> torch.device:
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise HardwareError("device=cuda, and torch finds no CUDA device", hint="device=cpu, or device=auto")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _mesh(config: TrainConfig, device: torch.device) -> DeviceMesh:
    size, num_replicas = dist.get_world_size(), config.num_replicas
    if size % num_replicas:
        raise ConfigError(f"num_replicas={num_replicas} does not divide the {size} processes of this run")
    if num_replicas == 1:
        return init_device_mesh(device.type, (size,), mesh_dim_names=("shard",))
    return init_device_mesh(device.type, (num_replicas, size // num_replicas), mesh_dim_names=("replicate", "shard"))


def shard_model(trainee: Trainee, config: TrainConfig, world: World) -> nn.Module:
    """Lay `trainee.model` out over the processes, in place, and return it.

    Each shard unit is recomputed and compiled as configured and becomes an FSDP unit; what remains (embeddings,
    projector, head) belongs to the root; replicated modules are left alone.

    Raises:
        ConfigError: When a replicated module holds a parameter that trains, or one that trains is not fp32.
        HardwareError: When there are several processes and this torch cannot reduce unused parameters.
    """
    model = trainee.model
    replicated = trainee.replicated_modules(model)
    _check_parameters(model, replicated)
    model.to(world.device)
    model.train()
    for module in replicated:
        module.eval()
    units = trainee.shard_units(model)
    for unit in units:
        _recompute(unit, config.recompute)
        if config.compile:
            unit.compile()
    shard = partial(
        fully_shard,
        mesh=world.mesh,
        reshard_after_forward=config.reshard_after_forward,
        mp_policy=_mixed_precision(config.precision),
        ignored_params={parameter for module in replicated for parameter in module.parameters()},
    )
    for unit in units:
        shard(unit)
    root = shard(model)
    _reduce_unused_parameters(root, world)
    return model


def _check_parameters(model: nn.Module, replicated: Sequence[nn.Module]) -> None:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"nothing to train: all parameters of the {type(model).__name__} are frozen")
    replicated_parameters = {id(parameter) for module in replicated for parameter in module.parameters()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in replicated_parameters:
            raise ConfigError(
                f"parameter {name} is to be trained and lies in a replicated module", hint="freeze it, or shard it"
            )
        if parameter.dtype != torch.float32:
            raise ConfigError(f"parameter {name} is to be trained and is {parameter.dtype}, expected torch.float32")


def _mixed_precision(precision: Precision) -> MixedPrecisionPolicy:
    # Inputs are not cast: a replicated tower may have another number format than the rest, and the model knows.
    if precision is Precision.FP32:
        return MixedPrecisionPolicy(cast_forward_inputs=False)
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _reduce_unused_parameters(root: FSDPModule, world: World) -> None:
    # Without this, processes whose batches use different parameters (one has images, one has none) run reductions of
    # different sizes, and hang. It came with torch 2.13; one process has nobody to wait for.
    if hasattr(root, "set_reduce_scatter_unused_params"):
        root.set_reduce_scatter_unused_params(True)
    elif world.size > 1:
        raise HardwareError(
            f"torch {torch.__version__} cannot train {world.size} processes whose batches use different parameters",
            hint="install torch 2.13 or newer, or train in one process",
        )


def _recompute(unit: nn.Module, recompute: Recompute) -> None:
    if recompute is Recompute.NONE:
        return
    context = {}
    if recompute is Recompute.SELECTIVE:
        context = {"context_fn": partial(create_selective_checkpoint_contexts, _keep_matrix_products)}
    # FSDP's hooks run around `forward`, so replacing it leaves parameter names as they are and parameters gathered
    # when the layer is computed again.
    unit.forward = partial(checkpoint, unit.forward, use_reentrant=False, **context)


_MATRIX_PRODUCTS = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    }
)
"""Operators whose results selective recomputation keeps: nearly all FLOPs of a layer, a part of its activations."""


def _keep_matrix_products(context: object, operator: object, *args: object, **kwargs: object) -> CheckpointPolicy:
    is_kept = operator in _MATRIX_PRODUCTS
    return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE
