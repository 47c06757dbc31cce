from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_shards.errors import DataError
from oqvl_train.metrics import StepMetrics, append_rows, finite_or_none, read_metrics, truncate_metrics


def row(step: int) -> StepMetrics:
    return StepMetrics(step=step, loss=1.0 / step, learning_rate=0.1, grad_norm=None, num_targets=5, num_tokens=9)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, [row(1), row(2)])
    append_rows(path, [row(3)])
    return path


def test_rows_come_back_as_they_were(log: Path) -> None:
    assert read_metrics(log) == [row(1), row(2), row(3)]
    assert log.read_text().splitlines()[1] == (
        '{"step": 2, "loss": 0.5, "learning_rate": 0.1, "grad_norm": null, "num_targets": 5, "num_tokens": 9, '
        '"is_skipped": false}'
    )


def test_no_log_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_line_that_a_kill_cut_is_left_out(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-3])
    assert read_metrics(log) == [row(1), row(2)]


def test_a_damaged_line_is_named(log: Path) -> None:
    log.write_bytes(b"{}\n" + log.read_bytes())
    with pytest.raises(DataError, match=r"metrics.jsonl line 1 is not a row of this log: b'\{\}"):
        read_metrics(log)


def test_truncation_leaves_the_bytes_of_the_first_rows(log: Path) -> None:
    first = b"".join(log.read_bytes().splitlines(keepends=True)[:2])
    truncate_metrics(log, 2)
    assert log.read_bytes() == first


def test_a_log_with_fewer_steps_than_its_checkpoint_is_refused(log: Path) -> None:
    with pytest.raises(DataError, match="has 3 rows for the first 5 steps"):
        truncate_metrics(log, 5)


def test_json_has_no_number_for_what_is_not_finite() -> None:
    assert [finite_or_none(value) for value in (1.5, float("nan"), float("inf"))] == [1.5, None, None]
