"""The stages of the filter, from a pool to the shards that training reads. Each wing holds its own.

score       one table of scores per scorer           scorers
import      the scores that others have published    importers
dedup       copies, and pictures of benchmarks       dedup
train_dfn   a scorer trained on clean pairs          dfn
select      a rule over the scores: a set of uids    selection
reshard     new shards of the selected samples       resharding

estimate (scorers), calibrate and page (pages), check and show look ahead and back.
"""

from __future__ import annotations

from oqvl_filter.check.run import check
from oqvl_filter.config import ShowConfig
from oqvl_filter.dedup.run import dedup
from oqvl_filter.dfn.run import train_dfn
from oqvl_filter.importers.run import import_pictures, import_prompts, import_scores, import_uids
from oqvl_filter.pages.run import calibrate, page
from oqvl_filter.report import StageReport, report_of
from oqvl_filter.resharding.run import reshard
from oqvl_filter.scorers.run import estimate, score
from oqvl_filter.selection.run import select
from oqvl_shards.dataset import open_dataset
from oqvl_shards.manifest import Kind

__all__ = [
    "calibrate",
    "check",
    "dedup",
    "estimate",
    "import_pictures",
    "import_prompts",
    "import_scores",
    "import_uids",
    "page",
    "reshard",
    "score",
    "select",
    "show",
    "train_dfn",
]


def show(config: ShowConfig) -> StageReport:
    """Report on a dataset that the filter wrote, from its manifest.

    Raises:
        ManifestError: If the dataset is of a kind that the filter does not write.
    """
    return report_of(open_dataset(config.dataset, Kind.SCORES, Kind.SUBSET, Kind.IMAGE_TEXT, Kind.CHECKPOINT))
