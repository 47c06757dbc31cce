"""The configurations of the filter's commands. Each wing defines its own, and each scorer in its own file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_filter.check.config import CheckConfig
from oqvl_filter.dedup.config import DedupConfig
from oqvl_filter.dfn.config import TrainDfnConfig
from oqvl_filter.importers.config import (
    ImportAnnotationsConfig,
    ImportConfig,
    ImportCsvConfig,
    ImportDatacompConfig,
    ImportLimits,
    ImportMlmFilterConfig,
    ImportPicturesConfig,
    ImportPromptsConfig,
    ImportUidsConfig,
)
from oqvl_filter.pages.config import CalibrateConfig, PageConfig
from oqvl_filter.resharding.config import ReshardConfig
from oqvl_filter.scorers.config import (
    AestheticScorerConfig,
    ClipScorerConfig,
    CustomScorerConfig,
    EstimateConfig,
    ImageScorerConfig,
    MetadataScorerConfig,
    MlmScorerConfig,
    PhashScorerConfig,
    RulesScorerConfig,
    ScoreConfig,
    ScorerConfig,
    SiglipScorerConfig,
    TextScorerConfig,
)
from oqvl_filter.selection.config import Balance, SelectConfig, TokenCount
from oqvl_shards.config import StageConfig

__all__ = [
    "AestheticScorerConfig",
    "Balance",
    "CalibrateConfig",
    "CheckConfig",
    "ClipScorerConfig",
    "CustomScorerConfig",
    "DedupConfig",
    "EstimateConfig",
    "ImageScorerConfig",
    "ImportAnnotationsConfig",
    "ImportConfig",
    "ImportCsvConfig",
    "ImportDatacompConfig",
    "ImportLimits",
    "ImportMlmFilterConfig",
    "ImportPicturesConfig",
    "ImportPromptsConfig",
    "ImportUidsConfig",
    "MetadataScorerConfig",
    "MlmScorerConfig",
    "PageConfig",
    "PhashScorerConfig",
    "ReshardConfig",
    "RulesScorerConfig",
    "ScoreConfig",
    "ScorerConfig",
    "SelectConfig",
    "ShowConfig",
    "SiglipScorerConfig",
    "TextScorerConfig",
    "TokenCount",
    "TrainDfnConfig",
]


class ShowConfig(StageConfig):
    """Configuration of `show`."""

    dataset: Path = Field(description="a dataset that a command of the filter wrote")
