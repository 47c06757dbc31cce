"""One self-contained HTML page about pools: what their scores say, and what a selection keeps.

The page loads nothing. Style and pictures are inside, each picture once even if it is shown several times, and the
content security policy forbids everything else. Captions and keys are foreign text: the template escapes them, and
`oqvl_filter.pages.gallery` replaces characters that do not print.

N samples, in the order of `oqvl_filter.candidates`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oqvl_filter.candidates import resolve_column
from oqvl_filter.pages.agreement import Histogram, Mask, Values, decile_of, histogram, rank_correlation, top_overlap
from oqvl_filter.pages.config import PageConfig
from oqvl_filter.pages.duplicates import check_benchmarks, cluster_panel, match_panel, matched_pictures, method_of
from oqvl_filter.pages.gallery import Gallery, Picture, shorten
from oqvl_filter.pages.scored_samples import ScoredSamples, is_dedup, read_scored_samples
from oqvl_filter.pages.strip import Panel, Strip, Tile
from oqvl_filter.pages.template import render
from oqvl_filter.subset import Subset
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account

_TEMPLATE = "page.html.j2"
_MAX_GROUP_PICTURES = 8
_MAX_COMPARED = 200_000
"""Number of random samples on which columns are compared: a rank correlation is then off by about 0.002."""


@dataclass(frozen=True)
class Inputs:
    """The datasets that a page is about; see `PageConfig`."""

    pools: Sequence[Dataset]
    scores: Mapping[str, Sequence[Dataset]]
    subset: Subset | None
    against: Subset | None
    benchmarks: Mapping[str, Dataset]


@dataclass(frozen=True)
class Source:
    """A pool, or without pools a score dataset, in numbers.

    Args:
        name: Its name in rules.
        num_samples: Number of its samples.
        num_selected: Number of those that the subset keeps.
        medians: Medians of the graded columns; None if no sample has a value.
    """

    name: str
    num_samples: int
    num_selected: int
    medians: Sequence[float | None]


@dataclass(frozen=True)
class ColumnChart:
    """A histogram, with its bars in a drawing of 400 x 100.

    Args:
        name: The column.
        histogram: The counts.
        bars: Height of each bar, height of its marked part, left edge, and text.
        num_missing: Samples without a value.
    """

    name: str
    histogram: Histogram
    bars: Sequence[tuple[float, float, float, str]]
    num_missing: int


@dataclass(frozen=True)
class Matrix:
    """A symmetric table of columns; None for a pair that cannot be compared."""

    names: Sequence[str]
    rows: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Difference:
    """How two selections treat the samples."""

    rule: str
    against_rule: str
    num_both: int
    num_neither: int
    strips: Sequence[Strip]


@dataclass(frozen=True)
class Page:
    """Everything that the template shows."""

    title: str
    num_samples: int
    num_selected: int | None
    num_compared: int
    rule: str
    graded: Sequence[str]
    sources: Sequence[Source]
    accounts: Sequence[tuple[str, Account]]
    charts: Sequence[ColumnChart]
    correlations: Matrix
    overlaps: Matrix
    top_fraction: float
    deciles: Sequence[Panel]
    difference: Difference | None
    duplicates: Sequence[Panel]
    matches: Sequence[Panel]
    groups: Sequence[Panel]
    pictures: Mapping[int | str, Picture]


def assemble_page(config: PageConfig, inputs: Inputs) -> Page:
    """Return what the page shows. Only the uids and `config.seed` decide which samples are pictured.

    All numeric columns are read into memory, 8 bytes per sample and column. Pictures are read one by one from the
    pools, so the time grows with `config.pictures_per_row` and with the number of columns.

    Raises:
        ConfigError: If scores are of other pools, or a column or a benchmark does not exist.
        DataError: If a file is damaged.
    """
    # The samples, their numbers and texts, and what the two subsets keep.
    data = read_scored_samples(inputs.pools, inputs.scores, inputs.subset, inputs.against, config.seed)
    graded = data.graded

    # Results of dedup are shown as pictures of their own instead of as columns.
    dedups = {label: dataset for label, datasets in inputs.scores.items() if is_dedup(datasets) for dataset in datasets}
    check_benchmarks(inputs.benchmarks, list(dedups.values()))

    # Everything that shows pictures; which pictures are needed follows from it.
    pictured = [_numeric_column(name, inputs.scores, data) for name in config.columns] or graded
    deciles = [_decile_panel(name, data, config.pictures_per_row) for name in pictured]
    difference = None if inputs.subset is None else _difference(inputs.subset, inputs.against, data, config)
    duplicates, matches = _dedup_panels(dedups, data, config)
    groups = [panel for name in data.texts if (panel := _group_panel(name, data, config.num_clusters)).strips]
    panels = [*deciles, *duplicates, *matches, *groups]
    strips = [*(difference.strips if difference else ()), *(strip for panel in panels for strip in panel.strips)]
    places = [tile.place for strip in strips for tile in strip.tiles]

    # Columns are compared on a random part of the samples, because ranking all of them would take too long.
    compared = data.order[:_MAX_COMPARED]
    columns = {name: data.numbers[name][compared] for name in graded}

    return Page(
        title=" + ".join(data.candidates.sources),
        num_samples=len(data.candidates),
        num_selected=None if inputs.subset is None else int(data.selected.sum()),
        num_compared=len(compared),
        rule="" if inputs.subset is None else _rule_of(inputs.subset),
        graded=graded,
        sources=list(_sources(data, graded)),
        accounts=list(_accounts(inputs)),
        charts=[chart for name, values in data.numbers.items() if (chart := _chart(name, values, data.selected))],
        correlations=_matrix(columns, rank_correlation),
        overlaps=_matrix(columns, lambda one, other: top_overlap(one, other, config.top_fraction)),
        top_fraction=config.top_fraction,
        deciles=deciles,
        difference=difference,
        duplicates=duplicates,
        matches=matches,
        groups=groups,
        pictures=_pictures(places, config, inputs, data),
    )


def _rule_of(subset: Subset) -> str:
    """Return the rule that selected a subset, or words for a subset without one."""
    if subset.manifest is None or subset.manifest.details.kind != "subset":
        return "a list of uids"
    return subset.manifest.details.rule


def _numeric_column(text: str, scores: Mapping[str, Sequence[Dataset]], data: ScoredSamples) -> str:
    name = resolve_column(text, scores, "columns")
    if name not in data.numbers:
        known = ", ".join(sorted(data.numbers))
        raise ConfigError(f"columns: {name} does not hold numbers", hint=f"these columns do: {known}")
    return name


def _pictures(
    places: Sequence[int | str], config: PageConfig, inputs: Inputs, data: ScoredSamples
) -> dict[int | str, Picture]:
    """Return the pictures at `places`: rows of samples, and names of benchmarks' pictures."""
    pictures: dict[int | str, Picture] = {}
    gallery = Gallery(inputs.pools, data.candidates, config.limits)
    pictures |= gallery.pictures(place for place in places if isinstance(place, int))
    names = [place for place in places if isinstance(place, str)]
    return pictures | dict(matched_pictures(names, inputs.benchmarks, config.limits))


def _sources(data: ScoredSamples, graded: Sequence[str]) -> Iterator[Source]:
    for code, name in enumerate(data.candidates.sources):
        is_own_N = data.candidates.source_codes == code
        known = [values[is_own_N & np.isfinite(values)] for values in (data.numbers[name] for name in graded)]
        medians = [float(np.median(values)) if len(values) else None for values in known]
        yield Source(name, int(is_own_N.sum()), int((is_own_N & data.selected).sum()), medians)


def _accounts(inputs: Inputs) -> Iterator[tuple[str, Account]]:
    for label, datasets in inputs.scores.items():
        for dataset in datasets:
            name = f"scores.{label}" + (f" ({dataset.manifest.name})" if len(datasets) > 1 else "")
            yield name, dataset.manifest.account
    for name, subset in (("subset", inputs.subset), ("against", inputs.against)):
        if subset is not None and subset.manifest is not None:
            yield name, subset.manifest.account


def _decile_panel(name: str, data: ScoredSamples, num_pictures: int) -> Panel:
    """Return random samples of every tenth of a column, the best tenth first."""
    values_N = data.numbers[name]
    deciles_N = decile_of(values_N)
    strips = []
    for decile in range(9, -1, -1):
        is_member_N = deciles_N == decile
        if is_member_N.any():
            title = f"{values_N[is_member_N].min():.4g} to {values_N[is_member_N].max():.4g}"
            rows = data.first(is_member_N, num_pictures)
            strips.append(Strip(title, [Tile(row, f"{values_N[row]:.4g}") for row in rows]))
    return Panel(name, "", strips)


def _difference(subset: Subset, against: Subset | None, data: ScoredSamples, config: PageConfig) -> Difference:
    """Return which samples two selections treat differently; without another one, what the subset keeps."""
    flips = {
        "kept by the subset alone": data.selected & ~data.against,
        "kept by the other one alone": data.against & ~data.selected,
    }
    num_pictures = 2 * config.pictures_per_row
    return Difference(
        rule=_rule_of(subset),
        against_rule="nothing" if against is None else _rule_of(against),
        num_both=int((data.selected & data.against).sum()),
        num_neither=int((~data.selected & ~data.against).sum()),
        strips=[
            Strip(f"{int(mask_N.sum()):,} {title}", [Tile(row) for row in data.first(mask_N, num_pictures)])
            for title, mask_N in flips.items()
        ],
    )


def _dedup_panels(
    dedups: Mapping[str, Dataset], data: ScoredSamples, config: PageConfig
) -> tuple[list[Panel], list[Panel]]:
    """Return panels of clusters, and panels of matches with benchmarks."""
    duplicates, matches = [], []
    for label, dataset in dedups.items():
        details = dataset.manifest.details
        assert details.kind == "scores"
        if "match" in details.columns:
            matches.append(match_panel(label, method_of(dataset), data, 2 * config.pictures_per_row))
        else:
            duplicates.append(cluster_panel(label, method_of(dataset), data, config.num_clusters))
    return duplicates, matches


def _group_panel(name: str, data: ScoredSamples, num_groups: int) -> Panel:
    """Return the largest groups of samples that share a text."""
    encoded = data.texts[name].dictionary_encode()
    codes_N = encoded.indices.fill_null(-1).to_numpy()
    sizes = np.bincount(codes_N[codes_N >= 0], minlength=1)
    largest = [code for code in np.argsort(-sizes, kind="stable")[:num_groups].tolist() if sizes[code] > 1]
    strips = []
    for code in largest:
        value = encoded.dictionary[code].as_py()
        rows = np.flatnonzero(codes_N == code)[:_MAX_GROUP_PICTURES].tolist()
        strips.append(Strip(f"{sizes[code]:,} samples: {shorten(value)[:16]}", [Tile(row) for row in rows]))
    return Panel(name, "", strips)


def _matrix(columns: Mapping[str, Values], compare: Callable[[Values, Values], float | None]) -> Matrix:
    values: dict[frozenset[str], float | None] = {}
    for one, other in itertools.combinations_with_replacement(columns, 2):
        values[frozenset((one, other))] = compare(columns[one], columns[other])
    return Matrix(list(columns), [[values[frozenset((one, other))] for other in columns] for one in columns])


def _chart(name: str, values_N: Values, selected_N: Mask) -> ColumnChart | None:
    """Return the histogram of a column with the selected part marked; None if no sample has a value."""
    counted = histogram(values_N, selected_N)
    if counted is None:
        return None
    highest = max(counted.counts)
    bars = [
        (
            100 * count / highest,
            100 * marked / highest,
            index * 400 / len(counted.counts),
            f"{low:.4g} to {high:.4g}: {count:,}" + (f", {marked:,} selected" if selected_N.any() else ""),
        )
        for index, (count, marked, (low, high)) in enumerate(
            zip(counted.counts, counted.marked, itertools.pairwise(counted.edges), strict=True)
        )
    ]
    return ColumnChart(name, counted, bars, int((~np.isfinite(values_N)).sum()))


def write_page(page: Page, path: Path) -> int:
    """Write `page` as HTML to `path` atomically and return its size in bytes.

    Raises:
        MissingExtraError: If the extra `report` is not installed.
    """
    content = render(_TEMPLATE, page=page, numbers={place: number for number, place in enumerate(page.pictures)})
    atomic_write(path, content)
    return len(content)
