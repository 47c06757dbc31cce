"""The report on pools: one self-contained HTML page of what their scores say and what a selection makes of them.

The page loads nothing: style and pictures are inside, each picture once however often it is shown, and its content
security policy forbids everything else. Captions and keys are foreign text; the template escapes them, and
`oqvl_filter.pages.gallery` replaces what does not print.

N samples, in the order of `oqvl_filter.selection.candidates`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from oqvl_filter.config import ReportConfig
from oqvl_filter.pages.agreement import Histogram, Mask, Values, decile_of, histogram, rank_correlation, top_overlap
from oqvl_filter.pages.duplicates import check_benchmarks, cluster_panel, match_panel, matched_pictures, method_of
from oqvl_filter.pages.gallery import Gallery, Picture
from oqvl_filter.pages.scored_samples import ScoredSamples, is_dedup, read_scored_samples
from oqvl_filter.pages.strip import Panel, Strip, Tile
from oqvl_filter.selection.candidates import resolve_column
from oqvl_filter.subset import Subset
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, require_extra
from oqvl_shards.manifest import Account

TEMPLATE = "templates/report.html.j2"
MAX_GROUP_PICTURES = 8
MAX_COMPARED = 200_000
"""Samples on which columns are compared, picked by chance: a rank correlation is then off by some 0.002."""


@dataclass(frozen=True)
class Inputs:
    """The datasets that a page is about; see `ReportConfig`."""

    pools: Sequence[Dataset]
    scores: Mapping[str, Sequence[Dataset]]
    subset: Subset | None
    against: Subset | None
    benchmarks: Mapping[str, Dataset]


@dataclass(frozen=True)
class Source:
    """A pool, or without pools a score dataset, in numbers.

    Args:
        name: What rules call it.
        num_samples: Its samples.
        num_selected: What the subset keeps of them.
        medians: Of the graded columns; None when no sample has a value.
    """

    name: str
    num_samples: int
    num_selected: int
    medians: Sequence[float | None]


@dataclass(frozen=True)
class ColumnChart:
    """A histogram with the bars' places in a drawing of 400 x 100."""

    name: str
    histogram: Histogram
    bars: Sequence[tuple[float, float, float, str]]
    num_missing: int


@dataclass(frozen=True)
class Matrix:
    """A symmetric table of columns; None where a pair cannot be compared."""

    names: Sequence[str]
    rows: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Difference:
    """What two selections make of the samples."""

    rule: str
    against_rule: str
    num_both: int
    num_neither: int
    strips: Sequence[Strip]


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

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


def assemble_page(config: ReportConfig, inputs: Inputs) -> Page:
    """Return what the report shows; which samples are pictured depends on their uids and `config.seed` alone.

    Raises:
        ConfigError: When scores are of other pools, or a column or a benchmark is not there.
        DataError: When a file is damaged.
    """
    data = read_scored_samples(inputs.pools, inputs.scores, inputs.subset, inputs.against, config.seed)
    graded = data.graded
    pictured = [_numeric_column(name, inputs.scores, data) for name in config.columns] or graded
    found = {label: one for label, datasets in inputs.scores.items() if is_dedup(datasets) for one in datasets}
    check_benchmarks(inputs.benchmarks, list(found.values()))
    difference = None if inputs.subset is None else _difference(inputs.subset, inputs.against, data, config)
    deciles = [_decile_panel(name, data, config.pictures_per_row) for name in pictured]
    duplicates, matches = _dedup_panels(found, data, config)
    groups = [panel for name in data.texts if (panel := _group_panel(name, data, config.num_clusters)).strips]
    panels = [*deciles, *duplicates, *matches, *groups]
    strips = [*(difference.strips if difference else ()), *(strip for panel in panels for strip in panel.strips)]
    compared = data.order[:MAX_COMPARED]
    return Page(
        title=" + ".join(data.candidates.sources),
        num_samples=len(data.candidates),
        num_selected=None if inputs.subset is None else int(data.selected.sum()),
        num_compared=len(compared),
        rule="" if inputs.subset is None else rule_of(inputs.subset),
        graded=graded,
        sources=list(_sources(data, graded)),
        accounts=list(_accounts(inputs)),
        charts=[chart for name, values in data.numbers.items() if (chart := _chart(name, values, data.selected))],
        correlations=_matrix({name: data.numbers[name][compared] for name in graded}, rank_correlation),
        overlaps=_matrix(
            {name: data.numbers[name][compared] for name in graded},
            lambda one, other: top_overlap(one, other, config.top_fraction),
        ),
        top_fraction=config.top_fraction,
        deciles=deciles,
        difference=difference,
        duplicates=duplicates,
        matches=matches,
        groups=groups,
        pictures=_pictures([tile.place for strip in strips for tile in strip.tiles], config, inputs, data),
    )


def rule_of(subset: Subset) -> str:
    """Return how a subset was selected, in words."""
    if subset.manifest is None or subset.manifest.details.kind != "subset":
        return "a list of uids"
    return subset.manifest.details.rule


def _numeric_column(text: str, scores: Mapping[str, Sequence[Dataset]], data: ScoredSamples) -> str:
    name = resolve_column(text, scores, "columns")
    if name not in data.numbers:
        raise ConfigError(f"columns: {name} is not of numbers", hint=f"these are: {', '.join(sorted(data.numbers))}")
    return name


def _pictures(
    places: Sequence[int | str], config: ReportConfig, inputs: Inputs, data: ScoredSamples
) -> dict[int | str, Picture]:
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


def _difference(subset: Subset, against: Subset | None, data: ScoredSamples, config: ReportConfig) -> Difference:
    flips = {
        "kept by the subset alone": data.selected & ~data.against,
        "kept by the other one alone": data.against & ~data.selected,
    }
    num_pictures = 2 * config.pictures_per_row
    return Difference(
        rule=rule_of(subset),
        against_rule="nothing" if against is None else rule_of(against),
        num_both=int((data.selected & data.against).sum()),
        num_neither=int((~data.selected & ~data.against).sum()),
        strips=[
            Strip(f"{int(mask_N.sum()):,} {title}", [Tile(row) for row in data.first(mask_N, num_pictures)])
            for title, mask_N in flips.items()
        ],
    )


def _dedup_panels(
    found: Mapping[str, Dataset], data: ScoredSamples, config: ReportConfig
) -> tuple[list[Panel], list[Panel]]:
    """Return panels of clusters, and of matches with benchmarks."""
    duplicates, matches = [], []
    for label, dataset in found.items():
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
        rows = np.flatnonzero(codes_N == code)[:MAX_GROUP_PICTURES].tolist()
        strips.append(Strip(f"{sizes[code]:,} samples: {value[:16]}", [Tile(row) for row in rows]))
    return Panel(name, "", strips)


def _matrix(columns: Mapping[str, Values], compare: Callable[[Values, Values], float | None]) -> Matrix:
    found: dict[frozenset[str], float | None] = {}
    for one, other in itertools.combinations_with_replacement(columns, 2):
        found[frozenset((one, other))] = compare(columns[one], columns[other])
    return Matrix(list(columns), [[found[frozenset((one, other))] for other in columns] for one in columns])


def _chart(name: str, values_N: Values, selected_N: Mask) -> ColumnChart | None:
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
    """Write `page` as HTML to `path` atomically; return its size in bytes.

    Raises:
        MissingExtraError: When the extra `report` is not installed.
    """
    with require_extra("oqvl-filter", "report"):
        import jinja2
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files("oqvl_filter.pages").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    content = template.render(page=page, numbers={place: n for n, place in enumerate(page.pictures)}).encode()
    atomic_write(path, content)
    return len(content)
