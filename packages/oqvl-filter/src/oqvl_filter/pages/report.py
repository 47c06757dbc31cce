"""What `page` and `calibrate` return."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_shards.config import Frozen


class PageReport(Frozen):
    """A page of scores and selections."""

    path: Path = Field(description="the HTML file")
    num_bytes: int = Field(description="size of the file")
    num_samples: int = Field(description="samples that the page is about")
    num_selected: int | None = Field(description="samples that the subset keeps; null without a subset")

    def table(self) -> str:
        """Return the report as text."""
        selected = "" if self.num_selected is None else f", {self.num_selected:,} selected"
        return f"{self.path} ({self.num_bytes:,} bytes)\n  samples   {self.num_samples:,}{selected}"


class ThresholdRow(Frozen):
    """What keeping the samples at or above a threshold does.

    Shares are (value, low, high) with the ends of a 95% interval; null if nothing was judged.
    """

    threshold: float = Field(description="the threshold, in the column's unit")
    kept: float = Field(description="share of the scored samples that is kept")
    precision: tuple[float, float, float] | None = Field(description="share of the kept samples that is good")
    recall: tuple[float, float, float] | None = Field(description="share of the good samples that is kept")


class CalibrateReport(Frozen):
    """A sample to judge, or what judgements say about thresholds."""

    path: Path = Field(description="directory of the sample")
    num_drawn: int = Field(description="samples to judge; 0 if labels were given")
    num_judged: int = Field(description="labels that were given")
    thresholds: tuple[ThresholdRow, ...] = Field(description="by ascending threshold")

    def table(self) -> str:
        """Return the report as text."""
        if not self.thresholds:
            return f"{self.num_drawn:,} samples to judge: look at {self.path}/page.html, fill in {self.path}/labels.csv"
        lines = [f"{self.num_judged:,} judged samples; intervals of 95%"]
        lines.append(f"  {'threshold':>10} {'keeps':>7}  {'precision':<22} recall")
        lines += [
            f"  {row.threshold:>10.4g} {100 * row.kept:6.1f}%  {_interval(row.precision):<22} {_interval(row.recall)}"
            for row in self.thresholds
        ]
        return "\n".join(lines)


def _interval(share: tuple[float, float, float] | None) -> str:
    return "not judged" if share is None else "{:.3f} ({:.3f} to {:.3f})".format(*share)
