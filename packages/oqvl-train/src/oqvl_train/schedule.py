"""The learning rate of each step: linear warm-up, then half a cosine.

The cosine follows Loshchilov and Hutter (arXiv 1608.03983), without restarts. Steps are numbered from 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step of a run.

    Args:
        peak: Learning rate at the end of the warm-up.
        num_steps: Steps of the run.
        warmup_fraction: Share of the steps in the warm-up.
        min_ratio: Learning rate at the end of the cosine, divided by `peak`.
    """

    peak: float
    num_steps: int
    warmup_fraction: float
    min_ratio: float

    @property
    def num_warmup_steps(self) -> int:
        """Steps with a rising learning rate."""
        return math.ceil(self.warmup_fraction * self.num_steps)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of `step`, 1 .. num_steps.

        The warm-up starts above 0 and reaches `peak` in its last step. The cosine would reach the minimum in step
        `num_steps + 1`, so no step is wasted on a learning rate of 0.
        """
        if step <= self.num_warmup_steps:
            return self.peak * step / self.num_warmup_steps
        num_decay_steps = self.num_steps - self.num_warmup_steps
        progress = (step - 1 - self.num_warmup_steps) / num_decay_steps
        cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.peak * (self.min_ratio + (1.0 - self.min_ratio) * cosine)
