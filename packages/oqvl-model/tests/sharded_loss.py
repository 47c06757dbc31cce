"""One of several processes that compute a loss and its gradients over a sharded model. Worker processes import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from oqvl_model.trainee import PackedTrainee
from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed.record import Pack


def write_gradients(rank: int, directory: Path, checkpoint: Path, packed: PackedDetails, packs: Sequence[Pack]) -> None:
    """Compute the loss of this rank's pack; rank 0 writes the sum of all gradients to `directory/gradients.pt`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/store", rank=rank, world_size=len(packs))
    trainee = PackedTrainee(checkpoint, packed)
    ignored = {p for module in trainee.replicated_modules(trainee.model) for p in module.parameters()}
    for unit in trainee.shard_units(trainee.model):
        fully_shard(unit, ignored_params=ignored)
    fully_shard(trainee.model, ignored_params=ignored)
    loss, _ = trainee.loss(trainee.model, trainee.collate([packs[rank]]))
    loss.backward()
    # FSDP divides the sum of the gradients by the number of processes.
    whole = {
        name: len(packs) * cast(DTensor, parameter.grad).full_tensor()
        for name, parameter in trainee.model.named_parameters()
        if parameter.requires_grad
    }
    if rank == 0:
        torch.save(whole, directory / "gradients.pt")
    dist.destroy_process_group()
