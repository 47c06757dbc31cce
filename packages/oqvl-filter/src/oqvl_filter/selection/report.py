"""What `select` and `import uids` return."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oqvl_filter.selection.budget import OVER_BUDGET
from oqvl_filter.stage_report import StageReport
from oqvl_shards.dataset import Dataset


class SelectReport(StageReport):
    """A subset of a pool."""

    rule: str = Field(description="the rule that selected it")
    conditions: tuple[tuple[str, int, int], ...] = Field(
        description="per condition of the rule: its text, samples in its scope that meet it, samples without a value"
    )
    asked_pairs: int | None = Field(default=None, description="the budget in pairs; null: no such budget")
    asked_tokens: float | None = Field(default=None, description="the budget in tokens; null: no such budget")

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        manifest = dataset.manifest
        assert manifest.details.kind == "subset"
        statistics = manifest.statistics
        names = sorted(name for name in statistics if name.startswith("condition_") and f"{name}_true" in statistics)
        config = manifest.lineage.config.get("config", {})
        return {
            "rule": manifest.details.rule,
            "conditions": tuple(
                (str(statistics[name]), int(statistics[f"{name}_true"]), int(statistics[f"{name}_null"]))
                for name in names
            ),
            "asked_pairs": config.get("pairs"),
            "asked_tokens": config.get("tokens"),
        }

    def _lines(self) -> list[str]:
        lines = [f"  rule      {self.rule}"]
        for text, num_true, num_null in self.conditions:
            without_value = f", no value for {num_null:,}" if num_null else ""
            lines.append(f"    {text}: {num_true:,} samples{without_value}")
        return [*lines, *self._shortfall()]

    def _shortfall(self) -> list[str]:
        """Return a line if less was kept than was asked for, or nothing at all."""
        num_kept, asked = self.account.num_kept, self.asked_pairs
        if asked is not None and num_kept < asked:
            return [f"  budget    asked for {asked:,} pairs, {num_kept:,} match"]
        if self.asked_tokens is not None and OVER_BUDGET not in self.account.rejected:
            return [
                f"  budget    asked for {self.asked_tokens:,.0f} tokens, all {num_kept:,} matching pairs have fewer"
            ]
        return [] if num_kept else ["  empty     nothing is kept; reshard refuses such a subset"]
