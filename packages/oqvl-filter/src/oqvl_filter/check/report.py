"""What `check` returns."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_shards.config import Frozen


class CheckReport(Frozen):
    """A dataset that was checked and is good."""

    path: Path = Field(description="the dataset's directory")
    name: str = Field(description="name of the dataset")
    kind: str = Field(description="kind of the dataset, e.g. scores")
    num_files: int = Field(description="number of files that were read")
    num_samples: int = Field(description="samples in these files")

    def table(self) -> str:
        """Return the report as text."""
        counts = f"{self.num_files:,} files, {self.num_samples:,} samples"
        return f"{self.name} ({self.path}), {self.kind}: {counts}: good"
