"""The trained model as a dataset of kind `checkpoint`: a model directory with its manifest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from oqvl_shards.dataset import describe_file
from oqvl_shards.manifest import Account, CheckpointDetails, Shard
from oqvl_shards.natural_order import natural_key
from oqvl_shards.stage_output import StageOutput
from oqvl_train.metrics import StepMetrics, read_metrics
from oqvl_train.parallel import World
from oqvl_train.run_directory import RunDirectory
from oqvl_train.trainee import Trainee


def export_model(
    directory: RunDirectory,
    trainee: Trainee,
    details: CheckpointDetails,
    output: StageOutput | None,
    world: World,
) -> None:
    """Write `model/` after the last step of a run, with the manifest last. Every process must call this.

    Args:
        directory: The run, with the metrics of all its steps.
        trainee: The trained model.
        details: What the manifest says about the model.
        output: The claimed output on rank 0, which writes the model; None on the others.
        world: The processes.
    """
    state = _whole_state(trainee.model, world)
    with world.first_alone():
        if output is not None:
            shutil.rmtree(directory.model, ignore_errors=True)  # left by a run that was killed while writing
            directory.model.mkdir(parents=True)
            trainee.save(directory.model, state)
            files = _describe_files(directory.model)
            output.finish(
                name=directory.path.name,
                details=details,
                shards=files,
                account=Account(num_in=len(files), num_kept=len(files)),
                statistics=_statistics(read_metrics(directory.metrics)),
            )


def _whole_state(model: nn.Module, world: World) -> dict[str, Tensor]:
    """Gather the model's state tensor by tensor. Rank 0 keeps it on the CPU; the others keep nothing."""
    state = {}
    for name, tensor in model.state_dict().items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if world.is_first:
            state[name] = whole.detach().cpu()
    return state


def _describe_files(directory: Path) -> list[Shard]:
    """Flush the files below `directory` to disk and describe them, in natural order."""
    files = sorted((path for path in directory.rglob("*") if path.is_file()), key=lambda path: natural_key(str(path)))
    for path in files:
        _flush_to_disk(path)
    return [describe_file(path, directory, num_samples=1) for path in files]


def _statistics(metrics: list[StepMetrics]) -> dict[str, int | float | str]:
    """Summarize a run for its manifest."""
    last = metrics[-1]
    return {
        "num_steps": last.step,
        "num_skipped_steps": sum(row.is_skipped for row in metrics),
        "num_tokens": sum(row.num_tokens for row in metrics),
        "num_targets": sum(row.num_targets for row in metrics),
        **({} if last.loss is None else {"final_loss": last.loss}),
    }


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
