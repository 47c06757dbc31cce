"""The two logs of a run, one JSON object per line.

metrics.jsonl   one row per step; a function of configuration and data alone, identical after any kill and resume
timings.jsonl   one row per time measurement; a resumed run appends to it

Steps are numbered from 1. Row s of metrics.jsonl is that of step s.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import Frozen
from oqvl_shards.errors import DataError

_Row = TypeVar("_Row", bound=Frozen)


class StepMetrics(Frozen):
    """The result of one optimizer step."""

    step: int = Field(description="number of the step, from 1")
    loss: float | None = Field(
        description="mean loss over the targets of the global batch, before the update; null: not finite"
    )
    learning_rate: float
    grad_norm: float | None = Field(description="norm of the mean gradient before clipping; null: not finite")
    num_targets: int = Field(description="tokens that carried loss")
    num_tokens: int = Field(description="tokens of the global batch, visual tokens included")
    is_skipped: bool = Field(
        default=False, description="whether nothing was updated, because the loss or gradient was not finite"
    )


class Timing(Frozen):
    """The speed of some steps. Figures are for all devices together unless stated otherwise."""

    step: int = Field(description="number of the last of these steps")
    num_steps: int = Field(description="steps since the previous row, or since the run was started or resumed")
    seconds: float = Field(description="wall-clock seconds of these steps, checkpoints not counted")
    tokens_per_second: float
    teraflops: float = Field(description="model TFLOP/s of one device, recomputation not counted")
    mfu: float = Field(description="teraflops / peak_teraflops")
    peak_teraflops: float = Field(description="peak TFLOP/s of one device")
    device: str
    num_devices: int


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None if it is not finite. JSON has no such numbers."""
    return value if math.isfinite(value) else None


def append_rows(path: Path, rows: Iterable[Frozen]) -> None:
    """Append rows to a log and flush them to disk, so the log is never behind a later checkpoint."""
    with path.open("ab") as file:
        for row in rows:
            file.write(_line(row))
        file.flush()
        os.fsync(file.fileno())


def read_metrics(path: Path) -> list[StepMetrics]:
    """Read `metrics.jsonl`; return no rows if it does not exist.

    An unterminated last line is left out, because a kill may have cut it.

    Raises:
        DataError: If any other line is not a row.
    """
    return _read(path, StepMetrics)


def read_timings(path: Path) -> list[Timing]:
    """Read `timings.jsonl`; see `read_metrics`."""
    return _read(path, Timing)


def truncate_metrics(path: Path, step: int) -> None:
    """Drop the rows after `step`. The resumed run writes them again.

    Raises:
        DataError: If one of the rows 1 .. `step` is missing.
    """
    rows = read_metrics(path)[:step]
    if [row.step for row in rows] != list(range(1, step + 1)):
        raise DataError(
            f"{path} has {len(rows)} rows for the first {step} steps, expected one per step",
            hint="metrics.jsonl and checkpoints/ must come from the same run: restore the file, or delete both",
        )
    atomic_write(path, b"".join(_line(row) for row in rows))


def _line(row: Frozen) -> bytes:
    return (json.dumps(row.model_dump(mode="json"), separators=(", ", ": ")) + "\n").encode()


def _read(path: Path, row_type: type[_Row]) -> list[_Row]:
    """Read the rows of a log; see `read_metrics`."""
    if not path.exists():
        return []
    rows = []
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith(b"\n"):
            break
        try:
            rows.append(row_type.model_validate_json(line))
        except ValidationError as error:
            raise DataError(
                f"{path} line {number} is not a row of this log: {line[:200]!r}",
                hint="restore the file, or delete the output directory and train again",
            ) from error
    return rows
