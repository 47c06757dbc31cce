"""Which packs make up which optimizer step: a pure function of (seed, step), never of processes or workers.

    epoch e    one permutation of all pack ids, drawn from (seed, e)
    step s     the next `global_batch_size` ids of its epoch; an epoch's last batch holds what is left
    process r  every `world_size`-th pack of the batch, from the r-th on
    micro      consecutive groups of `micro_batch_size` of those

Every pack is seen exactly once an epoch. A smaller last batch is right because the loss is a mean over the target
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
        weight: 1.0, or 0.0 when the process has no pack left and goes through the motions for the collectives' sake.
    """

    pack_ids: tuple[int, ...]
    weight: float


class DataOrder:
    """The order of the packs over a run.

    Args:
        num_packs: Packs in the dataset.
        global_batch_size: Packs a step, over all processes.
        seed: Decides every permutation.
    """

    def __init__(self, num_packs: int, global_batch_size: int, seed: int) -> None:
        self.num_packs = num_packs
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.steps_per_epoch = -(-num_packs // global_batch_size)
        self._epoch = -1
        self._permutation: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Return the pack ids of the 0-based `step`, int64 [global_batch_size], fewer in an epoch's last step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, permutation(self.num_packs, self.seed, epoch)
        start = position * self.global_batch_size
        return self._permutation[start : start + self.global_batch_size]

    def micro_batches(self, step: int, rank: int, world_size: int, micro_batch_size: int) -> list[MicroBatch]:
        """Return what process `rank` of `world_size` does in `step`; the same number of micro-batches on every rank."""
        batch = self.batch(step).tolist()
        mine = batch[rank::world_size]
        groups = [tuple(mine[start : start + micro_batch_size]) for start in range(0, len(mine), micro_batch_size)]
        most_packs_of_a_rank = -(-len(batch) // world_size)
        num_groups = -(-most_packs_of_a_rank // micro_batch_size)
        filler = MicroBatch((batch[0],), weight=0.0)
        return [MicroBatch(group, weight=1.0) for group in groups] + [filler] * (num_groups - len(groups))


def permutation(num_packs: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a permutation of 0 .. num_packs - 1, int64.

    The ids are sorted by random keys. numpy promises that a bit generator's raw stream never changes, which it does not
    promise of `Generator.permutation`, so a run resumed under another numpy keeps its order.
    """
    keys = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(num_packs)
    return np.argsort(keys, kind="stable").astype(np.int64)
