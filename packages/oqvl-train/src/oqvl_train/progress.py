"""How a run shows that it moves: a bar where stderr is a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO

from tqdm import tqdm

from oqvl_train.metrics import StepMetrics, Timing

SECONDS_BETWEEN_LINES = 30.0
"""Seconds that pass at least between two lines of a log file."""


class Progress:
    """Shows steps on stderr.

    A log file (SLURM, nohup) gets a line for the first step of this start, for the last of the run, and in between at
    the first look that comes `SECONDS_BETWEEN_LINES` or more after the line before.

    Args:
        stage: Name of the stage.
        first_step: Steps done before this start.
        num_steps: Steps of the whole run.
        stream: Where to show it; None: stderr.
        clock: Returns seconds.
    """

    def __init__(
        self,
        stage: str,
        first_step: int,
        num_steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._first_step = first_step
        self._num_steps = num_steps
        self._stream = stream or sys.stderr
        self._clock = clock
        self._started = clock()
        self._last_line: float | None = None
        self._bar = tqdm(
            desc=stage,
            total=num_steps,
            initial=first_step,
            unit="step",
            dynamic_ncols=True,
            disable=None,
            file=self._stream,
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()

    def show(self, rows: list[StepMetrics], timing: Timing) -> None:
        """Show the steps of one look at the device, at least one, and how fast they went."""
        loss = rows[-1].loss
        state = (
            f"loss {'not finite' if loss is None else format(loss, '.4f')}, {timing.tokens_per_second:,.0f} tokens/s, "
            f"MFU {timing.mfu:.1%}"
        )
        if self._bar.disable:
            self._write_line(rows[-1].step, state)
            return
        self._bar.set_postfix_str(state, refresh=False)
        self._bar.update(len(rows))

    def _write_line(self, step: int, state: str) -> None:
        now = self._clock()
        is_due = self._last_line is None or now - self._last_line >= SECONDS_BETWEEN_LINES
        if not is_due and step < self._num_steps:
            return
        self._last_line = now
        seconds_per_step = (now - self._started) / (step - self._first_step)
        left = timedelta(seconds=round(seconds_per_step * (self._num_steps - step)))
        print(
            f"{self._stage}: step {step:,} of {self._num_steps:,}, {state}, {left} left", file=self._stream, flush=True
        )
