"""Runs of a tiny trainee: in this process, in a pair of processes that lives as long as the tests, or in new ones."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # where the dotted path of the tiny trainee leads

import tiny_trainee

from oqvl_shards.errors import OqvlError
from oqvl_train.config import TrainConfig

_FORKS = get_context("forkserver")
# What a process of a run imports is imported once, in the server that the processes are forked from.
_FORKS.set_forkserver_preload(["oqvl_train.run", "tiny_trainee", "torch._dynamo"])


class Processes:
    """Processes that run `train`, joined as torchrun joins them.

    Args:
        num_processes: How many.
    """

    def __init__(self, num_processes: int) -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
        self._members = []
        for rank in range(num_processes):
            environment = {"RANK": rank, "WORLD_SIZE": num_processes, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
            here, there = _FORKS.Pipe()
            process = _FORKS.Process(target=_serve, args=(there, environment), daemon=True)
            process.start()
            there.close()
            self._members.append((process, here))

    def train(self, config: TrainConfig, **accidents: int) -> list[OqvlError | None]:
        """Train in all processes; accidents are those of the tiny trainee.

        Returns:
            What `train` raised in each process, None where it returned.
        """
        self.start(config, **accidents)
        return [connection.recv() for _, connection in self._members]

    def start(self, config: TrainConfig, **accidents: int) -> None:
        """Begin to train in all processes."""
        for _, connection in self._members:
            connection.send((config, accidents))

    def close(self) -> list[int | None]:
        """Wait for the end of all processes and return their exit codes."""
        for _, connection in self._members:
            connection.close()
        for process, _ in self._members:
            process.join()
        return [process.exitcode for process, _ in self._members]


def _serve(connection: Connection, environment: dict[str, object]) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    import torch.distributed as dist

    from oqvl_train.run import train

    dist.init_process_group("gloo")
    while True:
        try:
            config, accidents = connection.recv()
        except EOFError:
            break
        with tiny_trainee.accidents(**accidents):
            try:
                train(config)
                connection.send(None)
            except OqvlError as error:
                connection.send(error)
    dist.destroy_process_group()


@pytest.fixture(scope="session")
def pair() -> Iterator[Processes]:
    """Two processes that stay."""
    processes = Processes(2)
    yield processes
    processes.close()


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A start checkpoint and a dataset of eleven packs."""
    root = tmp_path_factory.mktemp("inputs")
    return tiny_trainee.write_checkpoint(root / "init"), tiny_trainee.write_packs(root / "packs", 11)


MakeConfig = Callable[..., TrainConfig]


@pytest.fixture(scope="session")
def make_config(inputs: tuple[Path, Path]) -> MakeConfig:
    """Make the configuration of a run: two epochs of three steps in fp32, checkpoints every two steps."""

    def make(output: Path, **changes: Any) -> TrainConfig:
        checkpoint, packed = inputs
        values: dict[str, Any] = {
            "checkpoint": checkpoint,
            "packed": packed,
            "output": output,
            "trainee": "tiny_trainee:TinyTrainee",
            "global_batch_size": 4,
            "micro_batch_size": 1,
            "num_epochs": 2,
            "learning_rate": 1e-2,
            "precision": "fp32",
            "checkpoint_every": 2,
            "log_every": 2,
            "num_loader_workers": 2,
            "device": "cpu",
            "peak_flops": 1e9,
        }
        return TrainConfig.model_validate(values | changes)

    return make
