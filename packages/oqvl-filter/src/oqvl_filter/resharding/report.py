"""What `reshard` returns."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oqvl_filter.stage_report import PoolReport
from oqvl_shards.dataset import Dataset


class ReshardReport(PoolReport):
    """New shards of the selected samples."""

    num_missing: int = Field(description="uids of the subset that are in none of the pools")

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        return {**super()._figures(dataset), "num_missing": int(dataset.manifest.statistics["missing_uids"])}

    def _lines(self) -> list[str]:
        return [*super()._lines(), f"  missing   {self.num_missing:,} uids of the subset are in no pool"]
