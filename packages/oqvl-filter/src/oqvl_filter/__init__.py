"""Score, select and reshard image-text data: CLIP, data filtering networks and rules over typed shard manifests.

The stages are functions of `oqvl_filter.run`. All names load at first use, so that the command line answers without
numpy and pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

if TYPE_CHECKING:
    from oqvl_filter.dedup.config import DedupConfig
    from oqvl_filter.dedup.report import DedupReport
    from oqvl_filter.dfn.config import TrainDfnConfig
    from oqvl_filter.dfn.report import DfnReport
    from oqvl_filter.resharding.config import ReshardConfig
    from oqvl_filter.resharding.report import ReshardReport
    from oqvl_filter.scorers.clip import ClipScorerConfig
    from oqvl_filter.scorers.config import ScoreConfig
    from oqvl_filter.scorers.report import ScoreReport
    from oqvl_filter.scorers.rules import RulesScorerConfig
    from oqvl_filter.scorers.scorer import Scorer
    from oqvl_filter.selection.config import SelectConfig
    from oqvl_filter.selection.report import SelectReport

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

__getattr__ = lazy_names(__name__, __file__)
