"""What `score`, `import` of scores, and `estimate` return."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oqvl_filter.score_file import DECILES
from oqvl_filter.stage_report import StageReport
from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset


class ScoreReport(StageReport):
    """Scores of a pool."""

    scorer: str = Field(description="name of the scorer")
    fingerprint: str = Field(description="sha256 of everything that decides the scores")
    deciles: dict[str, tuple[float, ...]] = Field(
        description="per column: minimum, deciles 10 to 90, and maximum over the samples that have a score"
    )

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        manifest = dataset.manifest
        assert manifest.details.kind == "scores"
        statistics = manifest.statistics
        columns = [column for column in manifest.details.columns if f"{column}.p0" in statistics]
        return {
            "scorer": manifest.details.scorer,
            "fingerprint": manifest.details.fingerprint,
            "deciles": {name: tuple(float(statistics[f"{name}.p{p}"]) for p in DECILES) for name in columns},
        }

    def table(self) -> str:
        """Return the report as text."""
        lines = [*self._header(), f"  scorer    {self.scorer} {self.fingerprint[:12]}", *self._account_lines()]
        if self.deciles:
            width = max(map(len, self.deciles))
            lines.append(f"  {'percentile':<{width}}" + "".join(f"{percent:>9}" for percent in DECILES))
            for column, values in self.deciles.items():
                lines.append(f"  {column:<{width}}" + "".join(f" {_short(value):>8}" for value in values))
        return "\n".join(lines)


class EstimateReport(Frozen):
    """What scoring a whole pool will take; low and high are the ends of 95% intervals."""

    scorer: str = Field(description="name of the scorer")
    num_samples: int = Field(description="samples of the pool")
    num_measured: int = Field(description="samples that were scored")
    num_rejected: int = Field(description="those of them that have no score")
    start_seconds: float = Field(description="seconds until the first score: loading the model")
    samples_per_second: float = Field(description="pace of one worker after that")
    hours: tuple[float, float, float] = Field(description="for the pool: expected, low, high")
    cost: tuple[float, float, float] = Field(description="for the pool: expected, low, high")
    num_bytes: int = Field(description="size of the score files")

    def table(self) -> str:
        """Return the report as text."""
        hours, low, high = (_duration(value) for value in self.hours)
        lines = [
            f"{self.scorer}: {self.num_measured:,} of {self.num_samples:,} samples scored, "
            f"{self.num_rejected:,} of them rejected",
            f"  start     {self.start_seconds:.1f} s",
            f"  pace      {self.samples_per_second:,.1f} samples/s per worker",
            f"  time      {hours} ({low} to {high})",
            f"  disk      {self.num_bytes:,} bytes",
        ]
        if self.cost[0]:
            lines.append("  cost      {:,.2f} ({:,.2f} to {:,.2f})".format(*self.cost))
        return "\n".join(lines)


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.1f} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
