"""Score, select and reshard image-text data: CLIP, data filtering networks and rules over typed shard manifests."""

from oqvl_filter.config import (
    ClipScorerConfig,
    Condition,
    ReshardConfig,
    RulesScorerConfig,
    ScoreConfig,
    SelectConfig,
    TrainDfnConfig,
)
from oqvl_filter.report import DfnReport, ReshardReport, ScoreReport, SelectReport
from oqvl_filter.scorer import Scorer

__all__ = [
    "ClipScorerConfig",
    "Condition",
    "DfnReport",
    "ReshardConfig",
    "ReshardReport",
    "RulesScorerConfig",
    "ScoreConfig",
    "ScoreReport",
    "Scorer",
    "SelectConfig",
    "SelectReport",
    "TrainDfnConfig",
]
