"""Read and collate micro-batches ahead of the training loop, in threads, in order.

Threads are enough: reading files and decoding and resizing images release the interpreter's lock, and a batch reaches
the training loop without a copy. Steps are numbered from 1.
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
"""Number of micro-batches to keep ready, in addition to one per worker."""


@dataclass(frozen=True)
class LoadedBatch:
    """A micro-batch that is ready for the device.

    Args:
        pack_ids: The packs in it.
        weight: 1.0, or 0.0 for a filler; see `MicroBatch`.
        batch: What the trainee collated.
        num_tokens: Tokens of the packs, visual tokens included.
        num_flops: Model FLOPs of the forward and backward pass.
        ends_step: Whether this is the last micro-batch of its step.
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
        trainee: Its `collate` and `num_flops` are called from the worker threads.
        order: Which packs each step takes.
        rank: This process.
        world_size: Number of processes.
        micro_batch_size: Packs per micro-batch.
        num_workers: Threads.
        pin_memory: Whether batches go to a CUDA device.
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
        """Yield (step, its micro-batches) for each step first .. last, both included.

        If a worker fails, its error is raised when its micro-batch is due.
        """
        with closing(self._load_ahead(first, last)) as batches:
            for step in range(first, last + 1):
                yield step, _until_step_ends(batches)

    def _load_ahead(self, first: int, last: int) -> Generator[LoadedBatch, None, None]:
        """Yield the micro-batches of all steps in order, while the workers prepare those that follow."""
        executor = ThreadPoolExecutor(self.num_workers, thread_name_prefix="loader")
        waiting: deque[Future[LoadedBatch]] = deque()
        try:
            for step in range(first, last + 1):
                micro_batches = self.order.micro_batches(step, self.rank, self.world_size, self.micro_batch_size)
                for number, micro_batch in enumerate(micro_batches, start=1):
                    ends_step = number == len(micro_batches)
                    waiting.append(executor.submit(self._load, micro_batch, ends_step=ends_step))
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


def _until_step_ends(batches: Iterator[LoadedBatch]) -> Iterator[LoadedBatch]:
    # itertools.groupby would wait for the first batch of the next step before ending this one.
    for loaded in batches:
        yield loaded
        if loaded.ends_step:
            return
