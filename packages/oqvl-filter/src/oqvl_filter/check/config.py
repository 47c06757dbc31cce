"""The configuration of `check`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_shards.config import StageConfig


class CheckConfig(StageConfig):
    """Configuration of `check`."""

    dataset: Path = Field(description="a dataset that a command of the filter wrote")
    num_workers: int = Field(default=1, ge=1, description="processes that read files")
