"""AdamW over sums of gradients: the division by the number of targets, the clipping and the guard in one fused step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from oqvl_train.config import NonfinitePolicy, TrainConfig


class Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) on the parameters of `model` that train.

    Nothing here waits for the device. A step whose loss or gradient is not finite leaves parameters, moments and step
    counts as they are; under `NonfinitePolicy.STOP` so does every later step, until somebody looks.

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
        # The state exists from the start, so that a checkpoint of any step has one shape.
        for parameter in self.parameters.values():
            self.adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._has_failed = torch.zeros_like(next(iter(self.adamw.state.values()))["step"])

    def step(self, learning_rate: float, *, loss_sum: Tensor, num_targets: Tensor, divisor: int) -> Tensor:
        """Update the parameters with the gradients divided by `num_targets`, clipped; clear the gradients.

        Args:
            learning_rate: Of this step.
            loss_sum: Sum of the losses of the global batch, a scalar on the device.
            num_targets: Targets of the global batch, a scalar on the device; 0 counts as 1.
            divisor: What the gradients have been divided by already.

        Returns:
            float32 [2] on the device: the norm of the mean gradient before clipping, and 1.0 when nothing was updated.
        """
        gradients = [self._gradient(parameter) for parameter in self.parameters.values()]
        num_targets = num_targets.clamp(min=1).float() / divisor
        norm = _whole(torch.nn.utils.get_total_norm(gradients)) / num_targets
        is_refused = (~torch.isfinite(norm + loss_sum)).float()
        if self.is_sticky:
            is_refused = torch.maximum(is_refused, self._has_failed)
            self._has_failed = is_refused
        # The fused kernel divides gradients by `grad_scale`, and does nothing at all when `found_inf` is set: the
        # protocol of torch.amp.GradScaler.
        excess = (norm / self.clip_norm).clamp(min=1.0) if self.clip_norm else 1.0
        vars(self.adamw)["grad_scale"] = num_targets * excess
        vars(self.adamw)["found_inf"] = is_refused
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.step()
        self.adamw.zero_grad()
        return torch.stack([norm, is_refused])

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the live state by parameter name: `step`, `exp_avg`, `exp_avg_sq`; loading fills it in place."""
        return {name: dict(self.adamw.state[parameter]) for name, parameter in self.parameters.items()}

    def _gradient(self, parameter: nn.Parameter) -> Tensor:
        # A parameter that no micro-batch used has a zero gradient: its moments decay, on any number of processes.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad


def _whole(norm: Tensor) -> Tensor:
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
