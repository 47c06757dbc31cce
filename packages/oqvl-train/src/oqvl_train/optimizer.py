"""AdamW on sums of gradients. One fused step divides by the number of targets, clips, and skips NaN and inf."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from oqvl_train.config import NonfinitePolicy, TrainConfig


class Update(NamedTuple):
    """The result of one optimizer step: float32 scalars on the device.

    Args:
        grad_norm: Norm of the mean gradient before clipping.
        is_skipped: 1.0 if nothing was updated, 0.0 otherwise.
    """

    grad_norm: Tensor
    is_skipped: Tensor


class Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) on the trainable parameters of `model`.

    Nothing here waits for the device. If the loss or the gradient of a step is not finite, parameters, moments and step
    counts do not change. Under `NonfinitePolicy.STOP`, every later step leaves them alone too, because the training
    loop notices the failure only at the next fetch from the device.

    Args:
        model: The model, already sharded.
        config: Hyper-parameters.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.clip_norm = config.clip_norm
        self.is_sticky = config.on_nonfinite is NonfinitePolicy.STOP
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        decayed = [parameter for parameter in self.parameters.values() if parameter.ndim >= 2]
        not_decayed = [parameter for parameter in self.parameters.values() if parameter.ndim < 2]
        self.adamw = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": config.weight_decay},
                {"params": not_decayed, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.eps,
            fused=True,
        )
        # The state exists from the start, so the checkpoints of all steps have the same structure.
        for parameter in self.parameters.values():
            self.adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._has_failed = torch.zeros_like(next(iter(self.adamw.state.values()))["step"])

    def step(self, learning_rate: float, *, loss_sum: Tensor, num_targets: Tensor, divisor: int) -> Update:
        """Update the parameters with the gradients divided by `num_targets`, clipped; clear the gradients.

        Args:
            learning_rate: Learning rate of this step.
            loss_sum: Sum of the losses of the global batch, a scalar on the device.
            num_targets: Targets of the global batch, a scalar on the device; 0 counts as 1.
            divisor: The number that the gradients have already been divided by.
        """
        gradients = [_gradient(parameter) for parameter in self.parameters.values()]
        num_targets = num_targets.clamp(min=1).float() / divisor
        norm = _whole(torch.nn.utils.get_total_norm(gradients)) / num_targets
        is_refused = (~torch.isfinite(norm + loss_sum)).float()
        if self.is_sticky:
            is_refused = torch.maximum(is_refused, self._has_failed)
            self._has_failed = is_refused
        # The fused kernel divides gradients by `grad_scale`, and does nothing at all if `found_inf` is set. This is the
        # protocol of torch.amp.GradScaler.
        excess = (norm / self.clip_norm).clamp(min=1.0) if self.clip_norm else 1.0
        vars(self.adamw)["grad_scale"] = num_targets * excess
        vars(self.adamw)["found_inf"] = is_refused
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.step()
        self.adamw.zero_grad()
        return Update(grad_norm=norm, is_skipped=is_refused)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the live state by parameter name: `step`, `exp_avg`, `exp_avg_sq`; loading fills it in place."""
        return {name: dict(self.adamw.state[parameter]) for name, parameter in self.parameters.items()}


def _gradient(parameter: nn.Parameter) -> Tensor:
    # If no micro-batch used a parameter, its gradient is zero and its moments decay, on any number of processes.
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _whole(norm: Tensor) -> Tensor:
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
