"""Several processes that train together, as torchrun starts them, for as long as a test wants."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import tiny_trainee

from oqvl_shards.errors import OqvlError
from oqvl_train.config import TrainConfig

MakeConfig = Callable[..., TrainConfig]
"""The type of the fixture `make_config`."""

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
