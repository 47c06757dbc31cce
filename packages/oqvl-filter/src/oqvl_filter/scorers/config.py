"""The configurations of `score` and `estimate`, and the union of all scorers' configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from oqvl_filter.scorers.aesthetic import AestheticScorerConfig
from oqvl_filter.scorers.clip import ClipScorerConfig
from oqvl_filter.scorers.custom import CustomScorerConfig
from oqvl_filter.scorers.image import ImageScorerConfig
from oqvl_filter.scorers.metadata import MetadataScorerConfig
from oqvl_filter.scorers.mlm import MlmScorerConfig
from oqvl_filter.scorers.phash import PhashScorerConfig
from oqvl_filter.scorers.rules import RulesScorerConfig
from oqvl_filter.scorers.siglip import SiglipScorerConfig
from oqvl_filter.scorers.text import TextScorerConfig
from oqvl_shards.config import MappedConfig, StageConfig
from oqvl_shards.tar.sample import ReadLimits


def _as_scorer(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"expected the scorer's name in a field of its own: scorer.name={value}")
    return value


ScorerConfig = Annotated[
    RulesScorerConfig
    | TextScorerConfig
    | ImageScorerConfig
    | PhashScorerConfig
    | MetadataScorerConfig
    | ClipScorerConfig
    | SiglipScorerConfig
    | AestheticScorerConfig
    | MlmScorerConfig
    | CustomScorerConfig,
    Field(discriminator="name"),
    BeforeValidator(_as_scorer),
]


class ScoreConfig(MappedConfig):
    """Configuration of `score`."""

    pool: Path = Field(description="dataset of kind image_text to score", json_schema_extra={"lineage": False})
    output: Path = Field(description="directory of the scores", json_schema_extra={"lineage": False})
    scorer: ScorerConfig = Field(
        default=RulesScorerConfig(),
        description="which scorer, and its fields: scorer.name=NAME scorer.FIELD=VALUE",
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")


class EstimateConfig(StageConfig):
    """Configuration of `estimate`."""

    pool: Path = Field(description="dataset of kind image_text that is to be scored")
    scorer: ScorerConfig = Field(default=RulesScorerConfig(), description="the scorer, as for score")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")
    num_samples: int = Field(
        default=200, ge=8, description="samples to time, in addition to one batch of each shard that they come from"
    )
    num_workers: int = Field(default=1, ge=1, description="processes, or devices, that will score at this pace")
    price_per_hour: float = Field(default=0.0, ge=0, description="price of one of them per hour")
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="seed of the hash that picks the samples")
