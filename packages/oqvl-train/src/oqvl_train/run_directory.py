"""The layout of a run's output directory.

run.json                  the run's lineage and length, written first
metrics.jsonl             see `oqvl_train.metrics`
timings.jsonl
checkpoints/step-000500/  complete checkpoints; an incomplete one is called step-000500.partial
model/                    the trained model with its manifest: the dataset that this stage writes

While the run is unfinished there are also `unfinished.json` and `claim.json`, see `oqvl_shards.stage_output`. They
decide which run the directory belongs to; `run.json` only describes it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pydantic import Field, ValidationError

from oqvl_shards.atomic import PARTIAL_SUFFIX, atomic_write
from oqvl_shards.config import Frozen
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Lineage

_CHECKPOINT_NAME = re.compile(r"step-(\d{6,})")


class RunFile(Frozen):
    """The content of `run.json`."""

    stage: str = Field(description="name of the stage")
    num_steps: int = Field(description="steps of the whole run")
    num_packs: int | None = Field(default=None, description="packs that it trains on; null: not recorded")
    lineage: Lineage


class RunDirectory:
    """The paths below a run's output directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_file = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.timings = path / "timings.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"

    def checkpoint(self, step: int) -> Path:
        """Return the directory of the checkpoint that is saved after `step`; 0 is the state before the first step."""
        return self.checkpoints / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Return the steps of the complete checkpoints, ascending."""
        if not self.checkpoints.is_dir():
            return []
        matches = (_CHECKPOINT_NAME.fullmatch(path.name) for path in self.checkpoints.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def read_run_file(self) -> RunFile:
        """Read `run.json`.

        Raises:
            ManifestError: If it is missing.
            DataError: If it is malformed.
        """
        try:
            return RunFile.model_validate_json(self.run_file.read_bytes())
        except FileNotFoundError as error:
            raise ManifestError(
                f"{self.path} holds no training run: it has no {self.run_file.name}",
                hint="name the output directory of a training run",
            ) from error
        except ValidationError as error:
            raise DataError(
                f"{self.run_file} is malformed: {error}", hint="run the training command again, which rewrites it"
            ) from error

    def begin(self, run: RunFile) -> None:
        """Write `run.json`, and remove the incomplete checkpoints of a killed run."""
        for path in self.checkpoints.glob(f"*{PARTIAL_SUFFIX}"):
            shutil.rmtree(path)
        atomic_write(self.run_file, (run.model_dump_json(indent=2) + "\n").encode())


def partial(path: Path) -> Path:
    """Return the name of the directory `path` while it is being written."""
    return path.with_name(path.name + PARTIAL_SUFFIX)
