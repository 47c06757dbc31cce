"""The stages `page` and `calibrate`."""

from __future__ import annotations

from oqvl_filter.candidates import resolve_column
from oqvl_filter.pages.calibration import draw_sample, measure_thresholds, read_labels, weigh, write_sample
from oqvl_filter.pages.config import CalibrateConfig, PageConfig
from oqvl_filter.pages.gallery import Gallery
from oqvl_filter.pages.page import Inputs, assemble_page, write_page
from oqvl_filter.pages.report import CalibrateReport, PageReport
from oqvl_filter.pages.scored_samples import read_scored_samples
from oqvl_filter.paths import open_scores
from oqvl_filter.subset import open_subset
from oqvl_shards.claim import claim
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Kind
from oqvl_shards.uid import array_to_uids


def page(config: PageConfig) -> PageReport:
    """Write a self-contained HTML page about scores, what subsets keep, and what `dedup` found.

    Raises:
        ManifestError: If an input is of another kind.
        ConfigError: If scores are of other pools, or a column or a benchmark does not exist.
        DataError: If a file is damaged.
        MissingExtraError: If the extra `report` is not installed.
    """
    inputs = Inputs(
        pools=[open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools],
        scores=open_scores(config.scores),
        subset=None if config.subset is None else open_subset(config.subset),
        against=None if config.against is None else open_subset(config.against),
        benchmarks={
            label: open_dataset(path, Kind.BENCHMARK, Kind.IMAGE_TEXT) for label, path in config.benchmarks.items()
        },
    )
    content = assemble_page(config, inputs)
    return PageReport(
        path=config.output,
        num_bytes=write_page(content, config.output),
        num_samples=content.num_samples,
        num_selected=content.num_selected,
    )


def calibrate(config: CalibrateConfig) -> CalibrateReport:
    """Draw samples of every tenth of a score for people to judge, or turn their labels into precision and recall.

    Raises:
        ManifestError: If an input is of another kind.
        ConfigError: If the column does not exist, the scores are of another pool, the labels cannot be read, or another
            run is writing the output.
        DataError: If the labels are not about these scores.
        MissingExtraError: If the extra `report` is not installed.
    """
    pools = [open_dataset(path, Kind.IMAGE_TEXT) for path in config.pools]
    scores = open_scores(config.scores)
    data = read_scored_samples(pools, scores)
    column = resolve_column(config.column, scores, "column")
    values_N = data.numbers.get(column)
    if values_N is None:
        known = ", ".join(sorted(data.numbers))
        raise ConfigError(f"column: {column} does not hold numbers", hint=f"these columns do: {known}")
    uids_N = data.candidates.uids
    if config.labels is None:
        drawn = draw_sample(values_N, uids_N, config.per_decile, config.seed)
        pictures = Gallery(pools, data.candidates, config.limits).pictures(row for row, _ in drawn)
        config.output.mkdir(parents=True, exist_ok=True)
        with claim(config.output, "oqvl-filter calibrate"):  # the page and the labels are of one draw
            write_sample(config.output, " + ".join(data.candidates.sources), drawn, pictures)
        return CalibrateReport(path=config.output, num_drawn=len(drawn), num_judged=0, thresholds=())
    labels = read_labels(config.labels)
    judged = weigh(values_N, array_to_uids(uids_N), labels)
    thresholds = measure_thresholds(judged, values_N)
    return CalibrateReport(path=config.output, num_drawn=0, num_judged=len(labels), thresholds=tuple(thresholds))
