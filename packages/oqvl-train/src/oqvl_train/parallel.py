"""The processes of a run, and how a model is sharded over them: FSDP2, with the same code for one process or many.

Gradients and losses are summed over processes, not averaged. The loss is a mean over the target tokens of the whole
global batch, and only the optimizer step knows their number.
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

from oqvl_shards.errors import ConfigError, HardwareError, OqvlError
from oqvl_train.config import Precision, Recompute, TrainConfig
from oqvl_train.trainee import Trainee

_T = TypeVar("_T")


@dataclass(frozen=True)
class World:
    """This process among the processes of the run.

    Args:
        rank: 0 .. size - 1. Rank 0 writes the files and reports progress.
        size: Number of processes.
        device: Where this process computes.
        mesh: 1-D (shard), or 2-D (replicate, shard) if there are several copies of the model.
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
        """Sum `values` over all processes, in place."""
        dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is set on any process, without waiting for the device."""
        if self.size == 1:
            return flag
        flags = torch.tensor(flag, dtype=torch.int32)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags)

    def from_first(self, value: _T) -> _T:
        """Return the `value` of rank 0 in every process; it must be picklable."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    @contextmanager
    def first_alone(self) -> Iterator[bool]:
        """Let rank 0 do something for all processes: the others wait for it, and fail if it fails.

        Without this, an error on rank 0 leaves the other processes waiting in their next collective.

        Example:
            >>> with world.first_alone() as is_first:
            ...     if is_first:
            ...         path.mkdir()

        Yields:
            Whether this is rank 0.

        Raises:
            Exception: In every process, if the block raises one on rank 0. An `OqvlError` or `OSError` is the same
                everywhere. For any other exception, the other processes get a RuntimeError with its type and message.
        """
        failure, shared_failure = None, None
        try:
            yield self.is_first
        except Exception as error:
            if not self.is_first:
                raise
            failure = error
            is_picklable = isinstance(error, OqvlError | OSError)
            shared_failure = error if is_picklable else RuntimeError(f"on rank 0: {type(error).__name__}: {error}")
        shared_failure = self.from_first(shared_failure)
        if shared_failure is not None:
            raise failure or shared_failure

    def barrier(self) -> None:
        """Wait for all processes."""
        self.any(False)


@contextmanager
def open_world(config: TrainConfig) -> Iterator[World]:
    """Join the processes that torchrun started, or make a world of one process.

    An existing process group is used, and not destroyed.

    Raises:
        HardwareError: If `device=cuda` and there is no CUDA device.
        ConfigError: If the number of processes is not a multiple of `num_replicas`.
    """
    device = _device(config.device)
    # Control flow (flags, barriers, checkpoint plans) uses gloo on the CPU and never waits for the device.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    is_ours = not dist.is_initialized()
    excepthook = sys.excepthook  # a process group replaces it by one that names the rank, and does not restore it
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
        raise HardwareError("device=cuda, but torch finds no CUDA device", hint="set device=cpu or device=auto")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _mesh(config: TrainConfig, device: torch.device) -> DeviceMesh:
    size, num_replicas = dist.get_world_size(), config.num_replicas
    if size % num_replicas:
        raise ConfigError(
            f"num_replicas={num_replicas} does not divide the {size} processes of this run",
            hint="choose a divisor of the number of processes",
        )
    if num_replicas == 1:
        return init_device_mesh(device.type, (size,), mesh_dim_names=("shard",))
    return init_device_mesh(device.type, (num_replicas, size // num_replicas), mesh_dim_names=("replicate", "shard"))


def shard_model(trainee: Trainee, config: TrainConfig, world: World) -> nn.Module:
    """Lay `trainee.model` out over the processes, in place, and return it.

    Each shard unit is recomputed and compiled as configured, and becomes an FSDP unit. The rest (embeddings, projector,
    head) belongs to the root unit. Replicated modules are left alone.

    Raises:
        ConfigError: If no parameter is trainable, a replicated module has a trainable parameter, or a trainable
            parameter is not fp32.
        HardwareError: If there are several processes and this torch cannot reduce unused parameters.
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
    """Raise unless some parameters are trainable, and all of those are fp32 and outside the replicated modules.

    Raises:
        ConfigError: Names the parameter.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            f"nothing to train: all parameters of {type(model).__name__} are frozen",
            hint="unfreeze some of them in trainee_options",
        )
    replicated_parameters = {id(parameter) for module in replicated for parameter in module.parameters()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in replicated_parameters:
            raise ConfigError(
                f"parameter {name} is trainable, but belongs to a replicated module",
                hint="freeze it, or take the module out of replicated_modules",
            )
        if parameter.dtype != torch.float32:
            raise ConfigError(
                f"parameter {name} is trainable and {parameter.dtype}, expected torch.float32",
                hint="convert it to fp32, or freeze it; precision=bf16 still computes in bf16",
            )


def _mixed_precision(precision: Precision) -> MixedPrecisionPolicy:
    # Inputs are not cast. A replicated tower may have a different dtype from the rest, and the model handles that.
    if precision is Precision.FP32:
        return MixedPrecisionPolicy(cast_forward_inputs=False)
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)


def _reduce_unused_parameters(root: FSDPModule, world: World) -> None:
    # Without this, processes whose batches use different parameters (only some have images) run reductions of different
    # sizes, and hang. torch has had it since 2.13. A single process does not need it.
    if hasattr(root, "set_reduce_scatter_unused_params"):
        root.set_reduce_scatter_unused_params(True)
    elif world.size > 1:
        raise HardwareError(
            f"torch {torch.__version__} cannot train in {world.size} processes whose batches use different parameters",
            hint="install torch 2.13 or newer, or train in one process",
        )


def _recompute(unit: nn.Module, recompute: Recompute) -> None:
    if recompute is Recompute.NONE:
        return
    context = {}
    if recompute is Recompute.SELECTIVE:
        context = {"context_fn": partial(create_selective_checkpoint_contexts, _keep_matrix_products)}
    # FSDP's hooks run around `forward`. Replacing `forward` itself keeps the names of parameters, and keeps parameters
    # gathered while the layer is computed again.
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
"""Operators whose results selective recomputation keeps: most FLOPs of a layer, but only some of its activations."""


def _keep_matrix_products(context: object, operator: object, *args: object, **kwargs: object) -> CheckpointPolicy:
    is_kept = operator in _MATRIX_PRODUCTS
    return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE
