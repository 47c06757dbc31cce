"""Read and collate micro-batches ahead of the training loop, in threads, in order.

Threads suffice: decoding and resizing images, and reading files, run outside the interpreter's lock, and a batch needs
no copy to reach the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from oqvl_shards.packed import Pack
from oqvl_train.data_order import DataOrder, MicroBatch
from oqvl_train.trainee import Batch, Trainee

NUM_AHEAD = 2
"""Micro-batches that wait ready beyond those that the workers hold."""


@dataclass(frozen=True)
class LoadedBatch:
    """A micro-batch that is ready for the device.

    Args:
        pack_ids: The packs in it.
        weight: 1.0, or 0.0 for a filler; see `MicroBatch`.
        batch: What the trainee collated.
        num_tokens: Tokens of the packs, visual tokens included.
        num_flops: Model FLOPs of forward and backward.
        ends_step: Whether it is its step's last one.
    """

    pack_ids: tuple[int, ...]
    weight: float
    batch: Batch
    num_tokens: int
    num_flops: float
    ends_step: bool


class Loader:
    """The micro-batches of one process over a range of steps.

    Args:
        packs: The dataset, indexed by pack id.
        trainee: Collates; called from the worker threads.
        order: Which packs each step takes.
        rank: This process.
        world_size: Number of processes.
        micro_batch_size: Packs a micro-batch.
        num_workers: Threads.
        pin_memory: Whether batches are bound for a CUDA device.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        trainee: Trainee,
        order: DataOrder,
        *,
        rank: int,
        world_size: int,
        micro_batch_size: int,
        num_workers: int,
        pin_memory: bool,
    ) -> None:
        self.packs = packs
        self.trainee = trainee
        self.order = order
        self.rank = rank
        self.world_size = world_size
        self.micro_batch_size = micro_batch_size
        self.num_workers = num_workers
        self.pin_memory = pin_memory

    def steps(self, first: int, last: int) -> Iterator[tuple[int, Iterator[LoadedBatch]]]:
        """Yield (step, its micro-batches) for the 0-based steps first .. last - 1.

        An error of a worker is raised when its micro-batch's turn comes.
        """
        with closing(self._load_ahead(first, last)) as batches:
            for step in range(first, last):
                yield step, _one_step(batches)

    def _load_ahead(self, first: int, last: int) -> Generator[LoadedBatch, None, None]:
        executor = ThreadPoolExecutor(self.num_workers, thread_name_prefix="loader")
        waiting: deque[Future[LoadedBatch]] = deque()
        try:
            for step in range(first, last):
                turns = self.order.micro_batches(step, self.rank, self.world_size, self.micro_batch_size)
                for number, micro_batch in enumerate(turns, start=1):
                    waiting.append(executor.submit(self._load, micro_batch, ends_step=number == len(turns)))
                    if len(waiting) > self.num_workers + NUM_AHEAD:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _load(self, micro_batch: MicroBatch, *, ends_step: bool) -> LoadedBatch:
        packs = [self.packs[pack_id] for pack_id in micro_batch.pack_ids]
        batch = self.trainee.collate(packs)
        return LoadedBatch(
            micro_batch.pack_ids,
            micro_batch.weight,
            batch.pin_memory() if self.pin_memory else batch,
            num_tokens=sum(pack.record.num_tokens for pack in packs),
            num_flops=self.trainee.num_flops(batch),
            ends_step=ends_step,
        )


def _one_step(batches: Iterator[LoadedBatch]) -> Iterator[LoadedBatch]:
    # Not itertools.groupby, which would wait for the next step's first batch before it ends this step.
    for loaded in batches:
        yield loaded
        if loaded.ends_step:
            return
