"""The configuration of `dedup`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from oqvl_filter.paths import LabelledPath, LabelledPaths
from oqvl_shards.config import Paths, StageConfig
from oqvl_shards.tar.sample import ReadLimits


class DedupConfig(StageConfig):
    """Configuration of `dedup`: finds duplicates among samples, or with `against` the pictures of benchmarks."""

    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text; of two copies the one in the earlier pool is kept; none: the uids in "
        "the scores",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        min_length=1,
        description="datasets of kind scores, each under a label of your choice: scores.LABEL=PATH",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the scores to write", json_schema_extra={"lineage": False})
    method: Literal["exact", "perceptual", "embedding"] = Field(
        description="what is compared: digests, perceptual hashes, or vectors"
    )
    column: str = Field(
        default="",
        description="column to compare, named as in a rule; empty: content_sha for exact, phash for perceptual, "
        "image_embedding for embedding",
    )
    max_distance: int = Field(
        default=4, ge=0, le=16, description="perceptual: maximum number of bits, out of 64, in which two hashes differ"
    )
    min_cosine: float = Field(default=0.95, gt=0, le=1, description="embedding: minimum cosine of two vectors")
    search: str = Field(
        default="oqvl_filter.dedup.cosine:ExactSearch",
        description="embedding: dotted path of the factory of a NeighbourSearch; the default compares all pairs",
    )
    search_options: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of that factory, e.g. search_options.block_size=4096",
    )
    prefer: str = Field(
        default="", description="column whose highest value decides which copy of a cluster is kept; empty: none"
    )
    against: LabelledPath = Field(
        default={},
        description="pictures to look for, each under a label of your choice: datasets of kind benchmark, or of kind "
        "scores with the column",
        json_schema_extra={"lineage": False},
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read of a benchmark's picture")
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="seed of the hash that breaks ties")
