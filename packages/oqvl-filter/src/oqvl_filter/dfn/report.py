"""What `train-dfn` returns."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oqvl_filter.stage_report import StageReport
from oqvl_shards.dataset import Dataset


class DfnReport(StageReport):
    """A data filtering network."""

    held_out_auc: float | None = Field(
        description="probability that a true pair scores above a false one, on held-out pairs; null: not measured"
    )
    num_held_out: int = Field(description="number of held-out pairs; the final fit uses them too")

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        statistics = dataset.manifest.statistics
        auc = statistics.get("held_out_auc")
        return {
            "held_out_auc": None if auc is None else float(auc),
            "num_held_out": int(statistics["num_held_out"]),
        }

    def _lines(self) -> list[str]:
        measured = "not measured" if self.held_out_auc is None else f"{self.held_out_auc:.3f} AUC"
        return [f"  model     local-dir:{self.path}", f"  held out  {measured}, {self.num_held_out:,} pairs"]
