"""Score, select and reshard image-text data: CLIP, data filtering networks and rules over typed shard manifests.

All names load lazily, so that the command line answers without numpy and pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_filter.config import (
        ClipScorerConfig,
        DedupConfig,
        ReshardConfig,
        RulesScorerConfig,
        ScoreConfig,
        SelectConfig,
        TrainDfnConfig,
    )
    from oqvl_filter.report import DedupReport, DfnReport, ReshardReport, ScoreReport, SelectReport
    from oqvl_filter.scorer import Scorer

__all__ = [
    "ClipScorerConfig",
    "DedupConfig",
    "DedupReport",
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

_MODULE_OF = {
    "ClipScorerConfig": "config",
    "DedupConfig": "config",
    "DedupReport": "report",
    "DfnReport": "report",
    "ReshardConfig": "config",
    "ReshardReport": "report",
    "RulesScorerConfig": "config",
    "ScoreConfig": "config",
    "ScoreReport": "report",
    "Scorer": "scorer",
    "SelectConfig": "config",
    "SelectReport": "report",
    "TrainDfnConfig": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
