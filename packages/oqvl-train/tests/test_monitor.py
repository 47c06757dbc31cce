from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from oqvl_train.config import TrainConfig
from oqvl_train.metrics import read_metrics, read_timings
from oqvl_train.monitor import Monitor
from oqvl_train.optimizer import Update
from oqvl_train.parallel import open_world
from oqvl_train.run_directory import RunDirectory
from oqvl_train.training_step import BatchSums, StepResult


def make_config(**changes: Any) -> TrainConfig:
    values = {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "device": "cpu", "peak_flops": 1e6}
    return TrainConfig.model_validate(values | changes)


def result(step: int, *, is_refused: bool = False) -> StepResult:
    sums = torch.tensor([6.0, 3.0, 50.0, 200.0], dtype=torch.float64)
    update = torch.tensor([float("nan") if is_refused else 0.5, float(is_refused)])
    return StepResult(step, 0.1, BatchSums(*sums), Update(*update))


def test_it_fetches_every_few_steps_and_when_told(tmp_path: Path) -> None:
    config, directory = make_config(log_every=3), RunDirectory(tmp_path)
    seen = []
    with open_world(config) as world, Monitor(config, directory, world, num_done=0, num_steps=9) as monitor:
        for step, must_fetch in [(1, False), (2, False), (3, False), (4, False), (5, True), (6, False)]:
            monitor.add(result(step), must_fetch=must_fetch)
            seen.append(len(read_metrics(directory.metrics)))
    assert seen == [1, 1, 3, 3, 5, 6]
    assert [(timing.step, timing.num_steps) for timing in read_timings(directory.timings)] == [
        (1, 1),
        (3, 2),
        (5, 2),
        (6, 1),
    ]
    assert [row.loss for row in read_metrics(directory.metrics)] == [2.0] * 6


def test_speed_is_tokens_and_flops_over_seconds(tmp_path: Path) -> None:
    config, directory = make_config(log_every=2), RunDirectory(tmp_path)
    with open_world(config) as world, Monitor(config, directory, world, num_done=0, num_steps=3) as monitor:
        monitor.add(result(1), must_fetch=False)
        monitor.add(result(2), must_fetch=False)
        monitor.add(result(3), must_fetch=True)
    _, timing, _ = read_timings(directory.timings)
    assert timing.tokens_per_second == pytest.approx(50 / timing.seconds)
    assert timing.teraflops == pytest.approx(200 / timing.seconds / 1e12)
    assert timing.mfu == pytest.approx(200 / timing.seconds / 1e6)
    assert (timing.peak_teraflops, timing.num_devices) == (1e-6, 1)


@pytest.mark.parametrize(("policy", "rows_kept", "failed"), [("stop", [1], 2), ("skip", [1, 2, 3], None)])
def test_a_step_that_failed_is_noticed(policy: str, rows_kept: list[int], failed: int | None, tmp_path: Path) -> None:
    config, directory = make_config(log_every=3, on_nonfinite=policy), RunDirectory(tmp_path)
    with open_world(config) as world, Monitor(config, directory, world, num_done=0, num_steps=3) as monitor:
        for step in (1, 2, 3):
            monitor.add(result(step, is_refused=step > 1), must_fetch=False)
    assert [row.step for row in read_metrics(directory.metrics)] == rows_kept
    assert (monitor.failed and monitor.failed.step) == failed
