from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_trainee import TinyTrainee

from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed import PackedReader
from oqvl_train.config import TrainConfig
from oqvl_train.loader import LoadedBatch
from oqvl_train.optimizer import Optimizer, Update
from oqvl_train.parallel import open_world
from oqvl_train.training_step import BatchSums, StepResult, fetch, seed_random_numbers, training_step

CONFIG = TrainConfig.model_validate(
    {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "device": "cpu", "precision": "fp32"}
)


@pytest.fixture
def trainee(inputs: tuple[Path, Path]) -> TinyTrainee:
    details = PackedReader(inputs[1]).details
    assert isinstance(details, PackedDetails)
    return TinyTrainee(inputs[0], details)


def load(trainee: TinyTrainee, packs: PackedReader, *groups: tuple[tuple[int, ...], float]) -> list[LoadedBatch]:
    return [
        LoadedBatch(
            pack_ids,
            weight,
            trainee.collate([packs[pack_id] for pack_id in pack_ids]),
            num_tokens=10,
            num_flops=100.0,
            ends_step=False,
        )
        for pack_ids, weight in groups
    ]


def test_the_loss_is_the_mean_over_all_targets_and_fillers_count_nothing(
    trainee: TinyTrainee, inputs: tuple[Path, Path]
) -> None:
    packs = PackedReader(inputs[1])
    with torch.no_grad():
        loss_sum, num_targets = trainee.loss(trainee.model, trainee.collate([packs[0], packs[1], packs[5]]))
    groups = load(trainee, packs, ((1,), 1.0), ((0,), 1.0), ((5,), 1.0), ((3,), 0.0))
    with open_world(CONFIG) as world:
        optimizer = Optimizer(trainee.model, CONFIG)
        result = training_step(trainee, optimizer, groups, world, step=5, learning_rate=0.5, seed=1)
    rows, num_flops = fetch([result])
    assert rows[0].loss == pytest.approx(loss_sum.item() / num_targets.item(), rel=1e-6)
    assert (rows[0].step, rows[0].learning_rate) == (5, 0.5)
    assert (rows[0].num_targets, rows[0].num_tokens, num_flops) == (num_targets.item(), 30, 300.0)


def test_random_numbers_depend_on_seed_step_and_pack_alone() -> None:
    def draw(seed: int, step: int, pack_id: int) -> float:
        seed_random_numbers(seed, step, pack_id)
        return torch.rand(()).item()

    with torch.random.fork_rng():
        drawn = {place: draw(*place) for place in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (2**64, 1, 0)]}
        assert len(set(drawn.values())) == 5
        assert all(draw(*place) == value for place, value in drawn.items())


def test_what_is_not_finite_becomes_null() -> None:
    sums = BatchSums(*torch.tensor([float("nan"), 0.0, 7.0, 3.0], dtype=torch.float64))
    update = Update(grad_norm=torch.tensor(float("inf")), is_skipped=torch.tensor(1.0))
    (row,), num_flops = fetch([StepResult(1, 0.1, sums, update)])
    assert (row.loss, row.grad_norm, row.is_skipped, row.num_targets, num_flops) == (None, None, True, 0, 3.0)
