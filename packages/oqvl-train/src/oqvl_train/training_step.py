"""One optimizer step: the sum of the losses over the global batch, its gradient, one update.

    loss = sum over all packs of all processes of the target losses / number of all targets

The formula contains neither the number of micro-batches nor the number of processes. Gradients are summed undivided,
and divided once, in the optimizer. Steps are numbered from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from oqvl_train.loader import LoadedBatch
from oqvl_train.metrics import StepMetrics, finite_or_none
from oqvl_train.optimizer import Optimizer, Update
from oqvl_train.parallel import World
from oqvl_train.trainee import Trainee


class BatchSums(NamedTuple):
    """Sums over the packs of a batch: float64 scalars on the device."""

    loss: Tensor
    num_targets: Tensor
    num_tokens: Tensor
    num_flops: Tensor


@dataclass(frozen=True)
class StepResult:
    """The measurements of a step, still on the device.

    Args:
        step: Number of the step.
        learning_rate: Learning rate of the step.
        sums: Over the global batch.
        update: The result of the optimizer.
    """

    step: int
    learning_rate: float
    sums: BatchSums
    update: Update


class _StepFigures(NamedTuple):
    """The measurements of a step as Python numbers: the fields of `BatchSums`, then those of `Update`."""

    loss_sum: float
    num_targets: float
    num_tokens: float
    num_flops: float
    grad_norm: float
    is_skipped: float


def training_step(
    trainee: Trainee,
    optimizer: Optimizer,
    micro_batches: Iterable[LoadedBatch],
    world: World,
    *,
    step: int,
    learning_rate: float,
    seed: int,
) -> StepResult:
    """Run one step without waiting for the device.

    Args:
        trainee: The model, laid out over the processes.
        optimizer: Updates its parameters.
        micro_batches: This process's share of the global batch.
        world: The processes.
        step: Number of the step.
        learning_rate: Learning rate of the step.
        seed: Seed of the run.
    """
    # The four names are views of one tensor, so a single reduction sums all of them.
    totals = torch.zeros(len(BatchSums._fields), dtype=torch.float64, device=world.device)
    sums = BatchSums(*totals.unbind())
    for loaded in micro_batches:
        seed_random_numbers(seed, step, loaded.pack_ids[0])
        batch = loaded.batch.to(world.device)
        loss_sum, num_targets = trainee.loss(trainee.model, batch)
        (loss_sum * loaded.weight).backward()
        sums.loss.add_(loss_sum.detach() * loaded.weight)
        sums.num_targets.add_(num_targets * loaded.weight)
        sums.num_tokens.add_(loaded.num_tokens * loaded.weight)
        sums.num_flops.add_(loaded.num_flops * loaded.weight)
    world.sum(totals)
    update = optimizer.step(learning_rate, loss_sum=sums.loss, num_targets=sums.num_targets, divisor=world.size)
    return StepResult(step, learning_rate, sums, update)


def seed_random_numbers(seed: int, step: int, pack_id: int) -> None:
    """Seed torch for one micro-batch. A run can then resume without a saved generator state.

    The seed sequence starts at 0 with the first step.
    """
    seeds = np.random.SeedSequence([seed, step - 1, pack_id])
    torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))


def fetch(results: Sequence[StepResult]) -> tuple[list[StepMetrics], float]:
    """Wait for the device, and return the rows of `results` and the FLOPs of all of them together."""
    figures = _to_host(results)
    rows = [_metrics(result, of_step) for result, of_step in zip(results, figures, strict=True)]
    return rows, sum(of_step.num_flops for of_step in figures)


def _to_host(results: Sequence[StepResult]) -> list[_StepFigures]:
    """Copy the figures of all `results` from the device in one transfer."""
    on_device = [torch.stack([figure.double() for figure in (*result.sums, *result.update)]) for result in results]
    return [_StepFigures(*row) for row in torch.stack(on_device).tolist()]


def _metrics(result: StepResult, figures: _StepFigures) -> StepMetrics:
    """Return the row of `metrics.jsonl` for one step."""
    return StepMetrics(
        step=result.step,
        loss=finite_or_none(figures.loss_sum / max(figures.num_targets, 1.0)),
        learning_rate=result.learning_rate,
        grad_norm=finite_or_none(figures.grad_norm),
        num_targets=int(figures.num_targets),
        num_tokens=int(figures.num_tokens),
        is_skipped=bool(figures.is_skipped),
    )
