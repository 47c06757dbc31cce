"""The stage `check`."""

from __future__ import annotations

from oqvl_filter.check.config import CheckConfig
from oqvl_filter.check.problems import find_problems
from oqvl_filter.check.report import CheckReport
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import DataError


def check(config: CheckConfig) -> CheckReport:
    """Check a dataset that the filter wrote: its files, its content, and that its account closes.

    Raises:
        ManifestError: If there is no manifest.
        DataError: If anything is wrong. The message names every problem.
    """
    dataset = open_dataset(config.dataset)
    problems = find_problems(dataset, config.num_workers)
    if problems:
        raise DataError(
            "\n  ".join([f"{config.dataset} has {len(problems)} problem(s)", *problems]),
            hint="delete the dataset and make it again",
        )
    manifest = dataset.manifest
    return CheckReport(
        path=config.dataset,
        name=manifest.name,
        kind=manifest.kind.value,
        num_files=len(manifest.shards),
        num_samples=manifest.num_samples,
    )
