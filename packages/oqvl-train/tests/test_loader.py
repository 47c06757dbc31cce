from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_trainee

from oqvl_shards.errors import DataError
from oqvl_shards.packed import Pack, PackedReader
from oqvl_train.data_order import DataOrder
from oqvl_train.loader import NUM_AHEAD, Loader

NUM_PACKS = 11


class Collator(tiny_trainee.TinyTrainee):
    """Makes later packs arrive before earlier ones, and refuses one."""

    def __init__(self, broken_pack: int = -1) -> None:
        self.broken_pack = broken_pack
        self.num_collated = 0
        self.model = tiny_trainee.TinyModel()
        self._first_may_go = threading.Event()

    def collate(self, packs: Sequence[Pack]) -> Any:
        if self.num_collated == 0:
            self.num_collated += 1
            self._first_may_go.wait()
        else:
            self.num_collated += 1
            self._first_may_go.set()
        if self.broken_pack in {pack.pack_id for pack in packs}:
            raise DataError(f"pack {self.broken_pack} is broken")
        return super().collate(packs)


def make_loader(packs: Path, collator: Collator, num_workers: int = 3) -> Loader:
    order = DataOrder(NUM_PACKS, global_batch_size=4, seed=5)
    return Loader(
        PackedReader(packs),
        collator,
        order,
        rank=1,
        world_size=2,
        micro_batch_size=1,
        num_workers=num_workers,
        pin_memory=False,
    )


@pytest.fixture
def packs(inputs: tuple[Path, Path]) -> Path:
    return inputs[1]


def test_batches_come_in_order_whichever_is_ready_first(packs: Path) -> None:
    loader = make_loader(packs, Collator())
    found = {step: [(loaded.pack_ids, loaded.weight) for loaded in turns] for step, turns in loader.steps(2, 5)}
    expected = {
        step: [(turn.pack_ids, turn.weight) for turn in loader.order.micro_batches(step, 1, 2, 1)]
        for step in range(2, 6)
    }
    assert found == expected


def test_a_batch_knows_its_size(packs: Path) -> None:
    reader = PackedReader(packs)
    for _, turns in make_loader(packs, Collator()).steps(1, 3):
        for loaded in turns:
            assert loaded.num_tokens == sum(reader[pack_id].record.num_tokens for pack_id in loaded.pack_ids)
            assert isinstance(loaded.batch, tiny_trainee.TinyBatch)
            assert loaded.batch.pack_ids == loaded.pack_ids


def test_an_error_comes_when_its_batch_is_due(packs: Path) -> None:
    collator = Collator()
    loader = make_loader(packs, collator)
    collator.broken_pack = loader.order.micro_batches(3, 1, 2, 1)[0].pack_ids[0]
    seen = []
    with pytest.raises(DataError, match="is broken"):
        for step, turns in loader.steps(1, 3):
            seen += [step for _ in turns]
    assert seen == [1, 1, 2, 2]


def test_a_loop_that_stops_leaves_no_thread_and_reads_little_ahead(packs: Path) -> None:
    collator = Collator()
    threads = threading.active_count()
    steps = make_loader(packs, collator).steps(1, 1000)
    next(steps)
    del steps
    assert threading.active_count() == threads
    assert collator.num_collated <= 3 + NUM_AHEAD + 1
