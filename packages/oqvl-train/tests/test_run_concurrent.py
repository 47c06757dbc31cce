"""Runs that get in each other's way: one output has one writer, and a dead writer's claim blocks nobody."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import tiny_trainee
from processes import MakeConfig, SeparateRun, digests, pack_of_step

from oqvl_shards.claim import CLAIM_NAME
from oqvl_shards.errors import ConfigError
from oqvl_train.config import TrainConfig
from oqvl_train.metrics import read_metrics
from oqvl_train.run import train
from oqvl_train.run_directory import RunDirectory

NUM_STEPS = 6


@pytest.fixture
def gate(tmp_path: Path) -> tiny_trainee.Gate:
    return tiny_trainee.Gate(tmp_path / "gate")


@pytest.fixture
def gated_config(gate: tiny_trainee.Gate, make_config: MakeConfig, tmp_path: Path) -> TrainConfig:
    """The configuration of a run that waits in its first step until the gate is opened."""
    options = {"gate": str(gate.directory)}
    return make_config(tmp_path / "run", trainee="tiny_trainee:GatedTrainee", trainee_options=options)


def assert_is_whole(output: Path, uninterrupted: Path) -> None:
    """The output is that of exactly one run, with one row per step."""
    assert [row.step for row in read_metrics(output / "metrics.jsonl")] == list(range(1, NUM_STEPS + 1))
    assert digests(output) == digests(uninterrupted)
    assert sorted(path.name for path in output.iterdir()) == sorted(path.name for path in uninterrupted.iterdir())


def test_of_the_same_command_twice_at_once_one_is_refused(
    gate: tiny_trainee.Gate, gated_config: TrainConfig, alone: Path
) -> None:
    runs = [SeparateRun(gated_config), SeparateRun(gated_config)]
    for run in runs:
        run.start()
    refused = SeparateRun.first_to_end(runs)  # the other one waits at the gate
    error = refused.outcome()
    assert isinstance(error, ConfigError)
    assert f"{gated_config.output} is being written by " in error.message
    gate.open()
    (writer,) = [run for run in runs if run is not refused]
    assert writer.outcome() is None
    assert_is_whole(gated_config.output, alone)


def test_a_run_that_is_refused_names_the_one_that_writes(
    gate: tiny_trainee.Gate, gated_config: TrainConfig, alone: Path
) -> None:
    writer = SeparateRun(gated_config)
    writer.start()
    gate.wait_for_arrival()
    with pytest.raises(ConfigError, match=f"is being written by oqvl-train run: process {writer.pid} on "):
        train(gated_config)
    gate.open()
    assert writer.outcome() is None
    assert_is_whole(gated_config.output, alone)


@pytest.mark.parametrize("milliseconds", [0, 3, 10, 30])
def test_of_two_configurations_one_makes_the_output(
    milliseconds: int, alone: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    faster = make_config(tmp_path / "faster", learning_rate=2e-2)
    train(faster)
    output = tmp_path / "run"
    runs = {
        SeparateRun(make_config(output)): alone,
        SeparateRun(faster.model_copy(update={"output": output})): faster.output,
    }
    for run in runs:
        run.start()
        time.sleep(milliseconds / 1000)
    outcomes = {run: run.outcome() for run in runs}
    (writer,) = [run for run, error in outcomes.items() if error is None]
    (error,) = [error for error in outcomes.values() if error is not None]
    assert isinstance(error, ConfigError)
    assert "is being written by" in error.message or "learning_rate" in error.message
    assert_is_whole(output, runs[writer])
    assert RunDirectory(output).read_run_file() == RunDirectory(runs[writer]).read_run_file()


def test_a_killed_run_does_not_block_its_rerun(alone: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run")
    killed = SeparateRun(config, sigkill=pack_of_step(3, rank=0))
    killed.start()
    assert killed.exit_code() == -signal.SIGKILL
    assert (config.output / CLAIM_NAME).exists()
    assert train(config).is_finished
    assert_is_whole(config.output, alone)
