"""What the commands return: typed results that print as a table or as JSON. Each wing defines its own."""

from __future__ import annotations

from oqvl_filter.check.report import CheckReport
from oqvl_filter.dedup.report import DedupReport
from oqvl_filter.dfn.report import DfnReport
from oqvl_filter.importers.report import PromptsReport
from oqvl_filter.pages.report import CalibrateReport, PageReport, ThresholdRow
from oqvl_filter.resharding.report import ReshardReport
from oqvl_filter.scorers.report import EstimateReport, ScoreReport
from oqvl_filter.selection.report import SelectReport
from oqvl_filter.stage_report import PoolReport, StageReport
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Kind

__all__ = [
    "CalibrateReport",
    "CheckReport",
    "DedupReport",
    "DfnReport",
    "EstimateReport",
    "PageReport",
    "PoolReport",
    "PromptsReport",
    "ReshardReport",
    "ScoreReport",
    "SelectReport",
    "StageReport",
    "ThresholdRow",
    "report_of",
]


def report_of(dataset: Dataset) -> StageReport:
    """Return the report that the command which wrote `dataset` printed.

    Args:
        dataset: Scores, a subset, a network, or shards of image-text pairs.
    """
    match dataset.manifest.kind:
        case Kind.SCORES if dataset.manifest.lineage.tool == "oqvl-filter dedup":
            return DedupReport.of(dataset)
        case Kind.SCORES:
            return ScoreReport.of(dataset)
        case Kind.SUBSET:
            return SelectReport.of(dataset)
        case Kind.CHECKPOINT:
            return DfnReport.of(dataset)
        case _ if "missing_uids" in dataset.manifest.statistics:
            return ReshardReport.of(dataset)
        case _:
            return PoolReport.of(dataset)
