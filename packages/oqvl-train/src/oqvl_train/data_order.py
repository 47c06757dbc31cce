"""The packs of each optimizer step: a pure function of (seed, step), never of processes or workers.

    step s     the optimizer steps of a run are numbered 1, 2, ..., as in `metrics.jsonl` and the names of checkpoints
    epoch e    one permutation of all pack ids, drawn from (seed, e); the first epoch is 0
    batch      the next `global_batch_size` ids of the step's epoch; the last batch of an epoch holds what is left
    process r  every `world_size`-th pack of the batch, starting with the r-th
    micro      consecutive groups of `micro_batch_size` of those

Every epoch contains every pack exactly once. A smaller last batch is correct because the loss is a mean over the target
tokens of the whole batch, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MicroBatch:
    """The packs of one forward pass of one process.

    Args:
        pack_ids: At least one.
        weight: 1.0, or 0.0 for a filler. A process without packs left runs a filler, because the other processes wait
            for it in their collectives.
    """

    pack_ids: tuple[int, ...]
    weight: float


class DataOrder:
    """The order of the packs over a run.

    Example:
        >>> order = DataOrder(num_packs=8, global_batch_size=4, seed=7)
        >>> [order.batch(step).tolist() for step in (1, 2)]  # the first epoch
        [[4, 3, 6, 2], [1, 0, 5, 7]]

    Args:
        num_packs: Packs in the dataset.
        global_batch_size: Packs per step, over all processes.
        seed: Determines every permutation.
    """

    def __init__(self, num_packs: int, global_batch_size: int, seed: int) -> None:
        self.num_packs = num_packs
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.steps_per_epoch = -(-num_packs // global_batch_size)
        self._epoch = -1
        self._permutation: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Return the pack ids of `step`, int64 [global_batch_size]; fewer in the last step of an epoch."""
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, permutation(self.num_packs, self.seed, epoch)
        start = position * self.global_batch_size
        return self._permutation[start : start + self.global_batch_size]

    def micro_batches(self, step: int, rank: int, world_size: int, micro_batch_size: int) -> list[MicroBatch]:
        """Return the micro-batches of process `rank` of `world_size` in `step`. Every rank gets the same number."""
        batch = self.batch(step).tolist()
        packs_of_rank = batch[rank::world_size]
        groups = [
            tuple(packs_of_rank[start : start + micro_batch_size])
            for start in range(0, len(packs_of_rank), micro_batch_size)
        ]
        most_packs_of_a_rank = -(-len(batch) // world_size)
        num_groups = -(-most_packs_of_a_rank // micro_batch_size)
        filler = MicroBatch((batch[0],), weight=0.0)
        return [MicroBatch(group, weight=1.0) for group in groups] + [filler] * (num_groups - len(groups))


def permutation(num_packs: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the permutation of 0 .. num_packs - 1 that an epoch uses, int64.

    The ids are sorted by random keys. numpy promises that the raw stream of a bit generator never changes, but makes no
    such promise for `Generator.permutation`. This way, a run that is resumed with another numpy keeps its order.

    Args:
        num_packs: Packs in the dataset.
        seed: Seed of the run.
        epoch: Counted from 0.
    """
    keys = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(num_packs)
    return np.argsort(keys, kind="stable").astype(np.int64)
