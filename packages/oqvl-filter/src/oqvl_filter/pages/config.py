"""The configurations of `page` and `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from oqvl_filter.paths import LabelledPath, LabelledPaths, ending_in
from oqvl_shards.config import Names, Paths, StageConfig
from oqvl_shards.tar.sample import ReadLimits


class PageConfig(StageConfig):
    """Configuration of `page`."""

    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text; none: the samples in the scores, without pictures",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        min_length=1,
        description="datasets of kind scores, as for select: scores.LABEL=PATH; those of dedup are shown as pictures",
        json_schema_extra={"lineage": False},
    )
    subset: Path | None = Field(
        default=None,
        description="the selection: a dataset of kind subset, or a .npy of dtype u8,u8",
        json_schema_extra={"lineage": False},
    )
    against: Path | None = Field(
        default=None,
        description="another subset: the page shows which samples the two treat differently",
        json_schema_extra={"lineage": False},
    )
    benchmarks: LabelledPath = Field(
        default={},
        description="what dedup was given as against.LABEL, to show a picture next to every match: "
        "benchmarks.LABEL=PATH; if that was scores, the pool that they were made of",
        json_schema_extra={"lineage": False},
    )
    output: Annotated[Path, ending_in(".html")] = Field(
        description="HTML file to write; an older one is replaced", json_schema_extra={"lineage": False}
    )
    columns: Names = Field(
        default=(),
        description="columns whose deciles are shown as pictures, named as in a rule; empty: all graded ones",
    )
    top_fraction: float = Field(
        default=0.3, gt=0, lt=1, description="fraction of the samples that counts as a column's best in comparisons"
    )
    pictures_per_row: int = Field(default=8, gt=0, description="pictures per decile; differences show twice as many")
    num_clusters: int = Field(
        default=5,
        ge=0,
        description="number of largest groups to show per text column, and of largest and loosest clusters of dedup",
    )
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="seed of the hash that picks the samples to show")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")

    @model_validator(mode="after")
    def _compares_with_something(self) -> Self:
        if self.against is not None and self.subset is None:
            raise ValueError("found against without subset: the two are compared, give both")
        return self


class CalibrateConfig(StageConfig):
    """Configuration of `calibrate`."""

    pools: Paths = Field(min_length=1, description="datasets of kind image_text")
    scores: LabelledPaths = Field(min_length=1, description="datasets of kind scores, as for select: scores.LABEL=PATH")
    column: str = Field(description="column of numbers, named as in a rule, e.g. clip or clip.clip_score")
    output: Path = Field(description="directory of labels.csv and page.html")
    per_decile: int = Field(default=20, gt=0, description="samples to judge per tenth of the column")
    labels: Path | None = Field(default=None, description="the filled-in labels.csv; unset: draw a sample")
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="seed of the hash that picks the samples")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")
