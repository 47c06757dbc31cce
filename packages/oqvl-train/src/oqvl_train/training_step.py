"""One optimizer step: the sum of the losses over the global batch, its gradient, one update.

    loss = sum over all packs of all processes of the target losses / number of all targets

Neither the division into micro-batches nor the one into processes enters that formula. Gradients are summed as they
are and divided once, in the optimizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from oqvl_train.loader import LoadedBatch
from oqvl_train.metrics import StepMetrics, finite_or_none
from oqvl_train.optimizer import Optimizer
from oqvl_train.parallel import World
from oqvl_train.trainee import Trainee


@dataclass(frozen=True)
class StepResult:
    """What a step measured, still on the device.

    Args:
        step: Steps done, this one included.
        learning_rate: Of this step.
        figures: float64 [6]: loss sum, targets, tokens and FLOPs of all processes; gradient norm; 1.0 when nothing was
            updated.
    """

    step: int
    learning_rate: float
    figures: Tensor


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
    """Run one step (0-based `step`) without waiting for the device."""
    totals = torch.zeros(4, dtype=torch.float64, device=world.device)
    for loaded in micro_batches:
        seed_random_numbers(seed, step, loaded.pack_ids[0])
        batch = loaded.batch.to(world.device)
        loss_sum, num_targets = trainee.loss(trainee.model, batch)
        (loss_sum * loaded.weight).backward()
        totals[0] += loss_sum.detach() * loaded.weight
        totals[1] += num_targets * loaded.weight
        totals[2] += loaded.num_tokens * loaded.weight
        totals[3] += loaded.num_flops * loaded.weight
    world.sum(totals)
    update = optimizer.step(learning_rate, loss_sum=totals[0], num_targets=totals[1], divisor=world.size)
    return StepResult(step + 1, learning_rate, torch.cat([totals, update.double()]))


def seed_random_numbers(seed: int, step: int, pack_id: int) -> None:
    """Seed torch for one micro-batch, so that no state of the generators has to survive a kill."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, pack_id]).generate_state(1, np.uint64)[0]))


def fetch(results: list[StepResult]) -> tuple[list[StepMetrics], float]:
    """Wait for the device and return the rows of `results` and the FLOPs that all of them took."""
    figures = torch.stack([result.figures for result in results]).tolist()
    rows = []
    for result, (loss_sum, num_targets, num_tokens, _, grad_norm, is_skipped) in zip(results, figures, strict=True):
        row = StepMetrics(
            step=result.step,
            loss=finite_or_none(loss_sum / max(num_targets, 1.0)),
            learning_rate=result.learning_rate,
            grad_norm=finite_or_none(grad_norm),
            num_targets=int(num_targets),
            num_tokens=int(num_tokens),
            is_skipped=bool(is_skipped),
        )
        rows.append(row)
    return rows, sum(row[3] for row in figures)
