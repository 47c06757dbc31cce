"""Where the files of a run lie, and which run they belong to.

run.json                  the run's lineage and length, written first
metrics.jsonl             see `oqvl_train.metrics`
timings.jsonl
checkpoints/step-000500/  complete checkpoints; one in the making is called step-000500.partial
model/                    the trained model with its manifest: the dataset that this stage makes
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
    num_packs: int | None = Field(default=None, description="packs that it trains on; null: from before this was noted")
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
        """Return the directory of the checkpoint after `step` steps."""
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
            ManifestError: When it is missing.
            DataError: When it is malformed.
        """
        try:
            return RunFile.model_validate_json(self.run_file.read_bytes())
        except FileNotFoundError as error:
            raise ManifestError(
                f"{self.path} holds no training run: no {self.run_file.name} in it", hint="check the path"
            ) from error
        except ValidationError as error:
            raise DataError(f"{self.run_file} is malformed: {error}") from error

    def begin(self, run: RunFile) -> None:
        """Write `run.json`, and remove checkpoints that a killed run did not complete."""
        for path in self.checkpoints.glob(f"*{PARTIAL_SUFFIX}"):
            shutil.rmtree(path)
        atomic_write(self.run_file, (run.model_dump_json(indent=2) + "\n").encode())


def partial(path: Path) -> Path:
    """Return the name under which the directory `path` is written before it is renamed."""
    return path.with_name(path.name + PARTIAL_SUFFIX)
