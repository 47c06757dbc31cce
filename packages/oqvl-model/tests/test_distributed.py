"""The model over two processes, one of which has a batch without images."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
import torch.multiprocessing as mp
from sharded_loss import write_gradients

from oqvl_model.trainee import PackedTrainee

WITH_IMAGES, TEXT_ONLY = [[None, "\na red apple"], ["x"]], [["a blue car"], ["a green tree"]]


@pytest.mark.distributed
def test_one_process_without_images_neither_hangs_nor_changes_the_gradient(
    checkpoint, packed, make_pack, tmp_path, monkeypatch
):
    packs = [make_pack(TEXT_ONLY), make_pack(WITH_IMAGES)]
    trainee = PackedTrainee(checkpoint, packed)
    trainee.loss(trainee.model, trainee.collate(packs))[0].backward()
    expected = {name: p.grad for name, p in trainee.model.named_parameters() if p.grad is not None}

    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    # Do not fork this process: a fork would lack its threads. The fork server imports what the workers need once.
    multiprocessing.set_forkserver_preload(["sharded_loss"])
    arguments = (tmp_path, checkpoint, packed, packs)
    mp.start_processes(write_gradients, arguments, nprocs=2, start_method="forkserver")
    found = torch.load(tmp_path / "gradients.pt", weights_only=True)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert (gradient - expected[name]).norm() <= 1e-6 * expected[name].norm()
