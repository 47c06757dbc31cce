"""What `dedup` returns."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oqvl_filter.stage_report import StageReport
from oqvl_shards.dataset import Dataset


class DedupReport(StageReport):
    """Duplicates among samples, or pictures of benchmarks among them."""

    method: str = Field(description="what was compared: exact, perceptual or embedding")
    counts: dict[str, int] = Field(description="number of clusters and duplicates, or of matches per benchmark")

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        manifest = dataset.manifest
        return {
            "method": str(manifest.lineage.config["config"]["method"]),
            "counts": {name: int(count) for name, count in manifest.statistics.items()},
        }

    def _lines(self) -> list[str]:
        counts = [f"  {name:<24}  {count:>12,}" for name, count in self.counts.items()]
        return [f"  method    {self.method}", *counts]
