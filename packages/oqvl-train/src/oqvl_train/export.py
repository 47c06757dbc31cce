"""The trained model as a dataset of kind `checkpoint`: a model directory with its manifest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from oqvl_shards.atomic import sync_directory
from oqvl_shards.dataset import describe_file, write_manifest
from oqvl_shards.manifest import Account, CheckpointDetails, Lineage, Manifest
from oqvl_shards.natural_order import natural_key
from oqvl_train.metrics import StepMetrics
from oqvl_train.parallel import World
from oqvl_train.run_directory import RunDirectory, partial
from oqvl_train.trainee import Trainee


def export_model(
    directory: RunDirectory,
    trainee: Trainee,
    details: CheckpointDetails,
    metrics: list[StepMetrics],
    lineage: Lineage,
    world: World,
) -> None:
    """Write `model/` of a finished run, in one rename; called by all processes.

    Args:
        directory: The run.
        trainee: Its model has been trained.
        details: What the manifest says about the model.
        metrics: A row for every step.
        lineage: The run's.
        world: The processes; rank 0 writes.
    """
    state = _whole_state(trainee.model, world)
    if world.is_first:
        temporary = partial(directory.model)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        trainee.save(temporary, state)
        write_manifest(temporary, _manifest(temporary, directory.path.name, details, metrics, lineage))
        shutil.rmtree(directory.model, ignore_errors=True)
        temporary.rename(directory.model)
        sync_directory(directory.path)
    world.barrier()


def _whole_state(model: nn.Module, world: World) -> dict[str, Tensor]:
    """Gather the model's state tensor by tensor; rank 0 keeps it on the CPU, the others keep nothing."""
    state = {}
    for name, tensor in model.state_dict().items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if world.is_first:
            state[name] = whole.detach().cpu()
    return state


def _manifest(
    path: Path, name: str, details: CheckpointDetails, metrics: list[StepMetrics], lineage: Lineage
) -> Manifest:
    files = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: natural_key(str(file)))
    for file in files:
        _bring_to_disk(file)
    shards = tuple(describe_file(file, path, num_samples=1) for file in files)
    last = metrics[-1]
    return Manifest(
        name=name,
        details=details,
        shards=shards,
        account=Account(num_in=len(shards), num_kept=len(shards)),
        statistics={
            "num_steps": last.step,
            "num_skipped_steps": sum(row.is_skipped for row in metrics),
            "num_tokens": sum(row.num_tokens for row in metrics),
            "num_targets": sum(row.num_targets for row in metrics),
            **({} if last.loss is None else {"final_loss": last.loss}),
        },
        lineage=lineage,
    )


def _bring_to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
