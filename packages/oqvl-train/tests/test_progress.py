from __future__ import annotations

import io

import pytest

from oqvl_train.metrics import StepMetrics, Timing
from oqvl_train.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(progress: Progress, step: int, loss: float | None = 2.5) -> None:
    row = StepMetrics(step=step, loss=loss, learning_rate=0.1, grad_norm=1.0, num_targets=675, num_tokens=4096)
    timing = Timing(
        step=step,
        num_steps=1,
        seconds=1.0,
        tokens_per_second=10505.2,
        teraflops=124.8,
        mfu=0.4,
        peak_teraflops=312.0,
        device="NVIDIA A100-SXM4-40GB",
        num_devices=8,
    )
    progress.show([row], timing)


def lines_of(shown: list[tuple[float, int]], num_done: int, num_steps: int) -> list[str]:
    """Return the lines of a run that shows these steps, given as (seconds, number of the last step)."""
    log = io.StringIO()
    clock = iter([0.0, *(seconds for seconds, _ in shown)])
    progress = Progress("sft", num_done, num_steps, log, clock=clock.__next__)
    for _, step in shown:
        show(progress, step)
    progress.close()
    return log.getvalue().splitlines()


def test_a_log_file_gets_a_line_for_the_first_step_the_last_and_every_half_minute() -> None:
    shown = [(5.0, 1), (15.0, 2), (34.9, 3), (35.0, 4), (64.0, 5), (70.0, 6), (71.0, 7)]
    assert [line.split(",")[0] for line in lines_of(shown, 0, 7)] == [
        "sft: step 1 of 7",
        "sft: step 4 of 7",
        "sft: step 6 of 7",
        "sft: step 7 of 7",
    ]


def test_a_line_says_where_the_run_stands() -> None:
    # The 40 steps since the resume took 4,000 s, and 4,730 are left.
    assert lines_of([(4000.0, 1040)], 1000, 5770) == [
        "sft: step 1,040 of 5,770, loss 2.5000, 10,505 tokens/s, MFU 40.0%, 5 days, 11:23:20 left"
    ]


def test_a_loss_that_is_not_finite_is_named() -> None:
    log = io.StringIO()
    show(Progress("sft", 0, 2, log), 1, loss=None)
    assert "loss not finite" in log.getvalue()


def test_a_terminal_gets_a_bar_and_no_lines() -> None:
    terminal = Terminal()
    progress = Progress("sft", 0, 2, terminal)
    show(progress, 1)
    show(progress, 2)
    progress.close()
    assert "2/2" in terminal.getvalue()
    assert "left" not in terminal.getvalue()


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    show(Progress("sft", 0, 2), 1)
    captured = capsys.readouterr()
    assert captured.err.startswith("sft: step 1 of 2")
    assert captured.out == ""
