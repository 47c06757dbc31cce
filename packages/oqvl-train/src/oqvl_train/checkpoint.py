"""Checkpoints: everything that is not a function of (configuration, step).

A checkpoint holds the trained parameters, the persistent buffers and the optimizer's state. Its directory is named by
the step after which it was saved. The position in the data, the learning rate and the random numbers follow from the
step; frozen parameters come from the model that the run started from. torch.distributed.checkpoint does the work: each
process writes its shards, and any number of processes can read them back. The index of that format is a pickle, so
resume only runs that you trust.

A checkpoint is written under a temporary name and renamed once it is complete. So every directory called `step-...` is
complete, and the highest one is the latest.
"""

from __future__ import annotations

import shutil
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException

from oqvl_shards.atomic import sync_directory
from oqvl_shards.errors import DataError
from oqvl_train.optimizer import Optimizer
from oqvl_train.parallel import World
from oqvl_train.run_directory import RunDirectory, partial


def save_checkpoint(
    directory: RunDirectory, step: int, model: nn.Module, optimizer: Optimizer, world: World, keep: int
) -> None:
    """Write the checkpoint after `step`, then delete all but the newest `keep`. Every process must call this.

    Args:
        directory: The run.
        step: Number of the last step done; 0 before the first.
        model: The model, sharded.
        optimizer: Its optimizer.
        world: The processes.
        keep: Checkpoints to keep.
    """
    path = directory.checkpoint(step)
    if path.exists():
        return
    temporary = partial(path)
    world.barrier()
    with world.first_alone() as is_first:
        if is_first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
    dcp.save(_state(model, optimizer), checkpoint_id=temporary)
    with world.first_alone() as is_first:
        if is_first:
            temporary.rename(path)
            sync_directory(path.parent)
            for old_step in directory.checkpoint_steps()[:-keep]:
                shutil.rmtree(directory.checkpoint(old_step))


def load_latest_checkpoint(directory: RunDirectory, model: nn.Module, optimizer: Optimizer) -> int:
    """Fill `model` and `optimizer` from the latest checkpoint, if there is one. Every process must call this.

    Returns:
        The number of steps done: 0 if there is no checkpoint.

    Raises:
        DataError: If the checkpoint does not fit the model or cannot be read.
    """
    steps = directory.checkpoint_steps()
    if not steps:
        return 0
    path = directory.checkpoint(steps[-1])
    try:
        dcp.load(_state(model, optimizer), checkpoint_id=path)
    except CheckpointException as error:
        raise DataError(
            f"{path} cannot be loaded: {error}", hint="delete it to resume from the checkpoint before it"
        ) from error
    return steps[-1]


def _state(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Return the live tensors of a checkpoint. Saving reads them, and loading writes into them."""
    parameters = {name: parameter.detach() for name, parameter in optimizer.parameters.items()}
    return {"parameters": parameters, "buffers": _buffers(model), "optimizer": optimizer.state_dict()}


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in parameters}
