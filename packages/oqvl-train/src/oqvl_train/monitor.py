"""Fetch the results of steps from the device, write the logs, show progress, and detect steps that are not finite."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from oqvl_train.config import NonfinitePolicy, TrainConfig
from oqvl_train.hardware import device_name, peak_flops
from oqvl_train.metrics import StepMetrics, Timing, append_rows
from oqvl_train.parallel import World
from oqvl_train.progress import Progress
from oqvl_train.run_directory import RunDirectory
from oqvl_train.training_step import StepResult, fetch


class Monitor:
    """Collects the results of steps, and fetches them from the device every `log_every` steps and after the first one.

    Every process collects, because all must reach the same decision. Only rank 0 writes.

    Args:
        config: The monitor uses `log_every`, `on_nonfinite`, `precision`, `peak_flops` and `stage`.
        directory: The run, with its logs.
        world: The processes.
        num_done: Steps done before this start.
        num_steps: Steps of the whole run.

    Attributes:
        failed: The row of the first step that was not finite, under `NonfinitePolicy.STOP`; None until then.
    """

    def __init__(
        self, config: TrainConfig, directory: RunDirectory, world: World, num_done: int, num_steps: int
    ) -> None:
        self.failed: StepMetrics | None = None
        self._config = config
        self._directory = directory
        self._world = world
        self._waiting: list[StepResult] = []
        self._device = device_name(world.device)
        self._peak = config.peak_flops or (peak_flops(world.device, config.precision) if world.is_first else 1.0)
        self._num_done = num_done
        self._progress = Progress(config.stage, num_done, num_steps) if world.is_first else None
        self._clock = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.close()

    def add(self, result: StepResult, *, must_fetch: bool) -> None:
        """Add the result of a step. Fetch all waiting results if a fetch is due or `must_fetch` is set."""
        self._waiting.append(result)
        is_first_of_start = result.step == self._num_done + 1
        if must_fetch or is_first_of_start or result.step % self._config.log_every == 0:
            self._fetch()

    def restart_clock(self) -> None:
        """Exclude the time since the last fetch from the next timing."""
        self._clock = time.perf_counter()

    def _fetch(self) -> None:
        """Wait for the device, log the waiting steps, and set `failed` if one of them was not finite.

        A failed step and the steps after it are not logged, because a resumed run does them again.
        """
        rows, num_flops = fetch(self._waiting)
        self._waiting = []
        if self._config.on_nonfinite is NonfinitePolicy.STOP:
            self.failed = next((row for row in rows if row.is_skipped), None)
        if self.failed is not None:
            rows = [row for row in rows if row.step < self.failed.step]
        with self._world.first_alone() as is_first:
            if is_first:
                self._log(rows, num_flops)
        self.restart_clock()

    def _log(self, rows: list[StepMetrics], num_flops: float) -> None:
        """Write the rows of steps to the logs, and show progress. A fetch with a failed step has no timing."""
        if self.failed is None and self._progress is not None:
            timing = self._time(rows, num_flops)
            append_rows(self._directory.timings, [timing])
            self._progress.show(rows, timing)
        append_rows(self._directory.metrics, rows)

    def _time(self, rows: list[StepMetrics], num_flops: float) -> Timing:
        """Return the speed of the steps in `rows`, which ran since the clock was restarted."""
        seconds = time.perf_counter() - self._clock
        flops_per_device = num_flops / seconds / self._world.size
        return Timing(
            step=rows[-1].step,
            num_steps=len(rows),
            seconds=seconds,
            tokens_per_second=sum(row.num_tokens for row in rows) / seconds,
            teraflops=flops_per_device / 1e12,
            mfu=flops_per_device / self._peak,
            peak_teraflops=self._peak / 1e12,
            device=self._device,
            num_devices=self._world.size,
        )
