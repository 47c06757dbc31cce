"""Training in processes of their own: several that train together, as torchrun starts them, or a single one."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

import tiny_trainee

from oqvl_shards.errors import OqvlError
from oqvl_train.config import TrainConfig
from oqvl_train.data_order import DataOrder

MakeConfig = Callable[..., TrainConfig]
"""The type of the fixture `make_config`."""

_FORKS = get_context("forkserver")
# The server imports what training needs once; each process is forked from it.
_FORKS.set_forkserver_preload(["oqvl_train.run", "tiny_trainee", "torch._dynamo"])


def pack_of_step(step: int, rank: int) -> int:
    """Return a pack that `rank` of two takes in `step` of a run of `make_config`, and in no earlier step."""
    return DataOrder(num_packs=11, global_batch_size=4, seed=7).micro_batches(step, rank, 2, 1)[0].pack_ids[0]


def digests(output: Path) -> dict[str, str]:
    """Return the sha256 of every file that must not depend on how often the run was stopped, by its name."""
    paths = [output / "metrics.jsonl", *(path for path in (output / "model").iterdir() if path.name != "manifest.json")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


class Processes:
    """Processes that call `train` together, joined as torchrun joins them, again and again until they are closed.

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
            process = _FORKS.Process(target=_train_together, args=(there, environment), daemon=True)
            process.start()
            there.close()
            self._members.append((process, here))

    def train(self, config: TrainConfig, **accidents: int) -> list[OqvlError | None]:
        """Train in all processes, with the accidents of the tiny trainee.

        Returns:
            What `train` raised in each process; None if it returned.
        """
        self.start(config, **accidents)
        return [connection.recv() for _, connection in self._members]

    def start(self, config: TrainConfig, **accidents: int) -> None:
        """Start to train in all processes."""
        for _, connection in self._members:
            connection.send((config, accidents))

    def close(self) -> list[int | None]:
        """Wait for all processes to end, and return their exit codes."""
        for _, connection in self._members:
            connection.close()
        for process, _ in self._members:
            process.join()
        return [process.exitcode for process, _ in self._members]


class SeparateRun:
    """A process that calls `train` once, when it is told to. It has imported everything by then.

    Args:
        config: What it trains.
        **accidents: Those of the tiny trainee.
    """

    def __init__(self, config: TrainConfig, **accidents: int) -> None:
        self._connection, there = _FORKS.Pipe()
        self._process = _FORKS.Process(target=_train_alone, args=(there, config, accidents), daemon=True)
        self._process.start()
        there.close()
        self.pid: int = self._connection.recv()

    def start(self) -> None:
        """Start to train."""
        self._connection.send(None)

    def outcome(self) -> OqvlError | None:
        """Wait for `train` to end, and return what it raised; None if it returned."""
        return self._connection.recv()

    def exit_code(self) -> int | None:
        """Wait for the process to end, and return its exit code: the negative of the signal that killed it, if any."""
        self._process.join()
        return self._process.exitcode

    @staticmethod
    def first_to_end(runs: Sequence[SeparateRun]) -> SeparateRun:
        """Wait until one of `runs` has an outcome, and return that run."""
        ready = wait([run._connection for run in runs])
        return next(run for run in runs if run._connection in ready)


def _train_together(connection: Connection, environment: dict[str, object]) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    import torch.distributed as dist

    dist.init_process_group("gloo")
    while True:
        try:
            config, accidents = connection.recv()
        except EOFError:
            break
        connection.send(_outcome(config, accidents))
    dist.destroy_process_group()


def _train_alone(connection: Connection, config: TrainConfig, accidents: dict[str, int]) -> None:
    connection.send(os.getpid())
    connection.recv()
    connection.send(_outcome(config, accidents))


def _outcome(config: TrainConfig, accidents: dict[str, int]) -> OqvlError | None:
    from oqvl_train.run import train

    with tiny_trainee.accidents(**accidents):
        try:
            train(config)
        except OqvlError as error:
            return error
    return None
