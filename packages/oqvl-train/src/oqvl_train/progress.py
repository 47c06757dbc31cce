"""Show the progress of a run on stderr: a bar on a terminal, otherwise a plain line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO

from tqdm import tqdm

from oqvl_train.metrics import StepMetrics, Timing

_SECONDS_BETWEEN_LINES = 30.0
"""Minimum seconds between two lines in a log file."""


class Progress:
    """Shows the steps of a run on stderr.

    A log file (SLURM, nohup) gets a line for the first step after a start or resume, for the last step of the run, and
    about every 30 seconds in between.

    Args:
        stage: Name of the stage.
        num_done: Steps done before this start.
        num_steps: Steps of the whole run.
        stream: Where to write; None: stderr.
        clock: Returns seconds.
    """

    def __init__(
        self,
        stage: str,
        num_done: int,
        num_steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._num_done = num_done
        self._num_steps = num_steps
        self._stream = stream or sys.stderr
        self._clock = clock
        self._started = clock()
        self._last_line: float | None = None
        self._bar = tqdm(
            desc=stage,
            total=num_steps,
            initial=num_done,
            unit="step",
            dynamic_ncols=True,
            disable=None,
            file=self._stream,
        )

    def close(self) -> None:
        """Stop updating the bar, and leave it on the screen."""
        self._bar.close()

    def show(self, rows: list[StepMetrics], timing: Timing) -> None:
        """Show the steps since the last call, at least one, and their speed."""
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
        is_due = self._last_line is None or now - self._last_line >= _SECONDS_BETWEEN_LINES
        if not is_due and step < self._num_steps:
            return
        self._last_line = now
        seconds_per_step = (now - self._started) / (step - self._num_done)
        left = timedelta(seconds=round(seconds_per_step * (self._num_steps - step)))
        print(
            f"{self._stage}: step {step:,} of {self._num_steps:,}, {state}, {left} left", file=self._stream, flush=True
        )
