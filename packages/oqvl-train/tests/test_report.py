from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ManifestError
from oqvl_shards.manifest import Lineage
from oqvl_train.metrics import StepMetrics, Timing, append_rows
from oqvl_train.report import TrainReport
from oqvl_train.run_directory import RunDirectory, RunFile


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An unfinished run."""
    directory = RunDirectory(tmp_path)
    lineage = Lineage.derive("oqvl-train run", "0.1.0", StageConfig())
    directory.begin(RunFile(stage="sft", num_steps=4770, lineage=lineage))
    directory.checkpoint(1000).mkdir(parents=True)
    row = StepMetrics(step=1, loss=2.5, learning_rate=0.1, grad_norm=1.0, num_targets=675, num_tokens=4096)
    append_rows(directory.metrics, [row, row.model_copy(update={"step": 2, "loss": 2.25, "is_skipped": True})])
    timing = Timing(
        step=2,
        num_steps=2,
        seconds=1800.0,
        tokens_per_second=10505.0,
        teraflops=124.8,
        mfu=0.4,
        peak_teraflops=312.0,
        device="NVIDIA A100-SXM4-40GB",
        num_devices=8,
    )
    append_rows(directory.timings, [timing, timing])
    return tmp_path


def test_a_report_summarizes_the_logs(output: Path) -> None:
    report = TrainReport.read(output)
    assert (report.step, report.num_steps, report.num_skipped_steps) == (2, 4770, 1)
    assert (report.loss, report.num_tokens, report.num_targets, report.seconds) == (2.25, 8192, 1350, 3600.0)
    assert (report.checkpoints, report.is_finished, report.model, report.digest) == ((1000,), False, None, None)


def test_it_prints_as_a_table(output: Path) -> None:
    assert TrainReport.read(output).table().splitlines()[1:] == [
        "steps        2 of 4,770, 1 skipped",
        "checkpoints  1,000",
        "loss         2.2500",
        "tokens       8,192, 1,350 of them targets",
        "speed        10,505 tokens/s on 8 x NVIDIA A100-SXM4-40GB, 125 TFLOP/s each, MFU 40.0% of 312 TFLOP/s",
        "time         1.00 h",
        "model        not finished: run the same command again to resume",
    ]


@pytest.mark.parametrize(
    ("num_packs", "batch_size", "epoch"),
    [
        (5, 256, "1 step, whose batch of up to 256 packs holds all 5"),
        (4, 4, "1 step, whose batch of up to 4 packs holds all 4"),
        (11, 4, "11 packs in 3 steps of 4, the last of the 3 left"),
        (1200, 4, "1,200 packs in 300 steps of 4"),
    ],
)
def test_it_says_how_packs_make_an_epoch(num_packs: int, batch_size: int, epoch: str, output: Path) -> None:
    noted = {"num_packs": num_packs, "global_batch_size": batch_size}
    assert TrainReport.read(output).model_copy(update=noted).table().splitlines()[2] == f"epoch        {epoch}"


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no training run"):
        TrainReport.read(tmp_path)
