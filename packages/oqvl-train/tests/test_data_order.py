from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_train.data_order import DataOrder, permutation

sizes = st.integers(1, 40)


@given(num_packs=sizes, global_batch_size=sizes, seed=st.integers(0, 2**64), epoch=st.integers(0, 3))
def test_an_epoch_takes_every_pack_once(num_packs: int, global_batch_size: int, seed: int, epoch: int) -> None:
    order = DataOrder(num_packs, global_batch_size, seed)
    first = 1 + epoch * order.steps_per_epoch
    batches = [order.batch(step) for step in range(first, first + order.steps_per_epoch)]
    assert sorted(np.concatenate(batches)) == list(range(num_packs))
    assert {len(batch) for batch in batches[:-1]} <= {global_batch_size}
    assert 1 <= len(batches[-1]) <= global_batch_size


@given(
    num_packs=sizes,
    global_batch_size=sizes,
    world_size=st.integers(1, 5),
    micro_batch_size=st.integers(1, 5),
    data=st.data(),
)
def test_processes_share_a_batch_without_overlap_and_take_the_same_number_of_turns(
    num_packs: int, global_batch_size: int, world_size: int, micro_batch_size: int, data: st.DataObject
) -> None:
    order = DataOrder(num_packs, global_batch_size, seed=1)
    step = data.draw(st.integers(1, 2 * order.steps_per_epoch))
    ranks = [order.micro_batches(step, rank, world_size, micro_batch_size) for rank in range(world_size)]
    weighed = [pack_id for turns in ranks for turn in turns if turn.weight for pack_id in turn.pack_ids]
    assert sorted(weighed) == sorted(order.batch(step).tolist())
    assert len({len(turns) for turns in ranks}) == 1
    assert all(1 <= len(turn.pack_ids) <= micro_batch_size for turns in ranks for turn in turns)
    assert all({turn.weight for turn in turns} <= {0.0, 1.0} for turns in ranks)


@given(num_packs=sizes, global_batch_size=sizes, steps=st.lists(st.integers(1, 100), min_size=1, max_size=6))
def test_a_step_does_not_depend_on_the_steps_asked_for_before(
    num_packs: int, global_batch_size: int, steps: list[int]
) -> None:
    used = DataOrder(num_packs, global_batch_size, seed=3)
    for step in steps:
        assert np.array_equal(used.batch(step), DataOrder(num_packs, global_batch_size, seed=3).batch(step))


def test_steps_count_from_one_and_epochs_follow_each_other() -> None:
    order = DataOrder(num_packs=8, global_batch_size=4, seed=7)
    assert [order.batch(step).tolist() for step in (1, 2, 3)] == [[4, 3, 6, 2], [1, 0, 5, 7], [7, 6, 1, 4]]


def test_the_permutation_never_changes() -> None:
    assert permutation(8, seed=7, epoch=0).tolist() == [4, 3, 6, 2, 1, 0, 5, 7]
    assert permutation(8, seed=7, epoch=1).tolist() == [7, 6, 1, 4, 3, 2, 5, 0]


def test_epochs_and_seeds_differ() -> None:
    drawn = [tuple(permutation(50, seed, epoch)) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert len(set(drawn)) == 3
