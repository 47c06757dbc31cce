"""The model over two processes, one of which has a batch without images."""

from __future__ import annotations

import os
import tempfile
from typing import cast

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from oqvl_model.trainee import PackedTrainee

WITH_IMAGES, TEXT_ONLY = [[None, "\na red apple"], ["x"]], [["a blue car"], ["a green tree"]]


def shard(trainee):
    ignored = {p for module in trainee.replicated_modules(trainee.model) for p in module.parameters()}
    for unit in trainee.shard_units(trainee.model):
        fully_shard(unit, ignored_params=ignored)
    fully_shard(trainee.model, ignored_params=ignored)


def worker(rank, directory, checkpoint, packed, packs):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/store", rank=rank, world_size=2)
    trainee = PackedTrainee(checkpoint, packed)
    shard(trainee)
    loss, _ = trainee.loss(trainee.model, trainee.collate([packs[rank]]))
    loss.backward()
    # FSDP divides the sum of the gradients by the number of processes.
    whole = {
        name: 2 * cast(DTensor, parameter.grad).full_tensor()
        for name, parameter in trainee.model.named_parameters()
        if parameter.requires_grad
    }
    if rank == 0:
        torch.save(whole, f"{directory}/gradients.pt")
    dist.destroy_process_group()


@pytest.mark.distributed
def test_one_process_without_images_neither_hangs_nor_changes_the_gradient(checkpoint, packed, make_pack):
    packs = [make_pack(TEXT_ONLY), make_pack(WITH_IMAGES)]
    trainee = PackedTrainee(checkpoint, packed)
    trainee.loss(trainee.model, trainee.collate(packs))[0].backward()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        arguments = (directory, checkpoint, packed, packs)
        mp.start_processes(worker, arguments, nprocs=2, start_method="fork")
        found = torch.load(f"{directory}/gradients.pt", weights_only=True)
    expected = {name: p.grad for name, p in trainee.model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert (gradient - expected[name]).norm() <= 1e-6 * expected[name].norm()
