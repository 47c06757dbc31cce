"""The report on a pool: one self-contained HTML page of what its scores say and what a selection makes of it.

The page loads nothing: style and pictures are inside, and its content security policy forbids everything else. Captions
and keys are foreign text; the template escapes them, and `oqvl_filter.pages.gallery` replaces what does not print.

N samples, in ascending order of uid as `oqvl_filter.score_file.read_scores` gives them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.config import ReportConfig
from oqvl_filter.pages.agreement import Histogram, Mask, Values, decile_of, histogram, rank_correlation, top_overlap
from oqvl_filter.pages.gallery import Gallery, Picture
from oqvl_filter.score_file import read_scores
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, hash_uids, locate
from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import ConfigError, require_extra
from oqvl_shards.manifest import Account, Dataset

TEMPLATE = "templates/report.html.j2"
MAX_CLUSTER_PICTURES = 8


@dataclass(frozen=True)
class ScoredPool:
    """The numbers of a pool, and which of its samples two selections keep.

    Args:
        numbers: By `LABEL.COLUMN`: the values [N] of every numeric column.
        texts: By `LABEL.COLUMN`: the values [N] of every text column, null where there is none.
        uids: [N] of dtype `UID_DTYPE`.
        selected: What the subset keeps; all false without one.
        against: What the subset that it is compared with keeps; all false without one.
    """

    numbers: Mapping[str, Values]
    texts: Mapping[str, pa.ChunkedArray]
    uids: NDArray[np.void]
    selected: Mask
    against: Mask


@dataclass(frozen=True)
class Tile:
    """A sample on the page."""

    picture: Picture
    note: str


@dataclass(frozen=True)
class ColumnChart:
    """A histogram with the bars' places in a drawing of 400 x 100."""

    name: str
    histogram: Histogram
    bars: Sequence[tuple[float, float, float, str]]
    num_missing: int


@dataclass(frozen=True)
class DecileGrid:
    """Samples of every tenth of a column, the best first: (title of the tenth, tiles)."""

    name: str
    deciles: Sequence[tuple[str, Sequence[Tile]]]


@dataclass(frozen=True)
class Matrix:
    """A symmetric table of columns; None where a pair cannot be compared."""

    names: Sequence[str]
    rows: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Cluster:
    """Samples that share a value of a text column, for instance a content hash."""

    column: str
    value: str
    size: int
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Difference:
    """What two selections of one pool make of its samples: (title, count, tiles)."""

    rule: str
    against_rule: str
    num_both: int
    num_neither: int
    flips: Sequence[tuple[str, int, Sequence[Tile]]]


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    title: str
    num_samples: int
    num_selected: int | None
    rule: str
    accounts: Sequence[tuple[str, Account]]
    charts: Sequence[ColumnChart]
    correlations: Matrix
    overlaps: Matrix
    top_fraction: float
    grids: Sequence[DecileGrid]
    difference: Difference | None
    clusters: Sequence[Cluster]


def read_scored_pool(
    pool: Dataset, scores: Mapping[str, Dataset], subset: Subset | None, against: Subset | None
) -> ScoredPool:
    """Read all scores of a pool by label, and mark what the subsets keep.

    Raises:
        ConfigError: When scores are of another pool, or none is of the whole pool.
        DataError: When a score file is damaged.
    """
    uids_N, _ = read_scores(scores_of_whole_pool(pool, scores))
    numbers: dict[str, Values] = {}
    texts: dict[str, pa.ChunkedArray] = {}
    for label, dataset in scores.items():
        table = _read_joined(dataset, uids_N)
        for name in table.column_names[:-1]:
            column = table[name]
            if pa.types.is_string(column.type):
                texts[f"{label}.{name}"] = column
            elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                numbers[f"{label}.{name}"] = column.cast(pa.float64()).to_numpy()
    nothing = np.zeros(len(uids_N), dtype=bool)
    masks = [nothing if one is None else contains(one.uids, uids_N) for one in (subset, against)]
    return ScoredPool(numbers, texts, uids_N, masks[0], masks[1])


def scores_of_whole_pool(pool: Dataset, scores: Mapping[str, Dataset]) -> Dataset:
    """Return the first of `scores` that has a file for every shard of `pool`.

    The others may have been made of such scores, as the clusters of `dedup` are.

    Raises:
        ConfigError: When one of them has nothing to do with the pool, or all were made of scores.
    """
    digest = pool.manifest.digest()
    whole: list[Dataset] = []
    for label, dataset in scores.items():
        lineage = dataset.manifest.lineage
        if digest in lineage.parents:
            whole.append(dataset)
        elif digest not in {ancestor.digest for ancestor in lineage.ancestors}:
            raise ConfigError(
                f"scores.{label} ({dataset.path}) are of another pool than {pool.path}",
                hint="score this pool, or give the pool that they were made of",
            )
    if not whole:
        raise ConfigError("none of the scores is of the whole pool", hint="add what `score` has written, e.g. rules")
    return whole[0]


def _read_joined(dataset: Dataset, uids_N: NDArray[np.void]) -> pa.Table:
    """Return the scores of `uids_N`, null where a dataset has none."""
    found_M, table = read_scores(dataset)
    places_N = locate(found_M, uids_N)
    return table.take(pa.array(places_N, mask=places_N < 0))


def assemble_page(
    config: ReportConfig,
    pool: Dataset,
    scores: Mapping[str, Dataset],
    subset: Subset | None,
    against: Subset | None,
) -> Page:
    """Return what the report on `pool` shows; which samples are pictured depends on their uids' hash alone."""
    data = read_scored_pool(pool, scores, subset, against)
    unknown = [name for name in config.columns if name not in data.numbers]
    if unknown:
        raise ConfigError(f"columns: {unknown} are no numeric columns", hint=f"there are {sorted(data.numbers)}")
    pictured = config.columns or tuple(name for name, values in data.numbers.items() if _is_graded(values))
    gallery = Gallery(pool, scores_of_whole_pool(pool, scores), config.limits)
    order_N = np.argsort(hash_uids(data.uids, config.seed), kind="stable")
    plans = _Plans(data, order_N, config)
    pictures = gallery.pictures(itertools.chain(plans.grid_rows(pictured), plans.flip_rows(), plans.cluster_rows()))

    def tiles(rows: Iterable[int], note: Callable[[int], str]) -> list[Tile]:
        return [Tile(pictures[row], note(row)) for row in rows if row in pictures]

    names = [name for name in data.numbers if _is_graded(data.numbers[name])]
    accounts = [(f"scores.{label}", dataset.manifest.account) for label, dataset in scores.items()]
    accounts += [("subset", subset.manifest.account)] if subset is not None and subset.manifest else []
    accounts += [("against", against.manifest.account)] if against is not None and against.manifest else []
    return Page(
        title=pool.manifest.name,
        num_samples=len(data.uids),
        num_selected=None if subset is None else int(data.selected.sum()),
        rule="" if subset is None else rule_of(subset),
        accounts=accounts,
        charts=[chart for name, values in data.numbers.items() if (chart := _chart(name, values, data.selected))],
        correlations=_matrix(names, lambda a, b: rank_correlation(data.numbers[a], data.numbers[b])),
        overlaps=_matrix(names, lambda a, b: top_overlap(data.numbers[a], data.numbers[b], config.top_fraction)),
        top_fraction=config.top_fraction,
        grids=[plans.grid(name, tiles) for name in pictured],
        difference=plans.difference(subset, against, tiles),
        clusters=plans.clusters(tiles),
    )


def rule_of(subset: Subset) -> str:
    """Return how a subset was selected, in words."""
    if subset.manifest is None or subset.manifest.details.kind != "subset":
        return "a list of uids"
    return subset.manifest.details.rule


TileMaker = Callable[[Iterable[int], Callable[[int], str]], list[Tile]]


class _Plans:
    """Which samples each part of the page pictures."""

    def __init__(self, data: ScoredPool, order_N: NDArray[np.int64], config: ReportConfig) -> None:
        self._data = data
        self._order_N = order_N
        self._config = config
        self._deciles: dict[str, NDArray[np.int64]] = {}
        self._groups = [group for name, column in data.texts.items() for group in self._largest_groups(name, column)]

    def _first(self, mask_N: Mask, count: int) -> list[int]:
        return self._order_N[mask_N[self._order_N]][:count].tolist()

    def _rows_of_decile(self, name: str, decile: int) -> list[int]:
        deciles_N = self._deciles.setdefault(name, decile_of(self._data.numbers[name]))
        return self._first(deciles_N == decile, self._config.pictures_per_row)

    def grid_rows(self, names: Sequence[str]) -> Iterable[int]:
        for name, decile in itertools.product(names, range(10)):
            yield from self._rows_of_decile(name, decile)

    def grid(self, name: str, tiles: TileMaker) -> DecileGrid:
        values_N = self._data.numbers[name]
        deciles = []
        for decile in range(9, -1, -1):
            members_N = values_N[self._deciles[name] == decile]
            if len(members_N):
                title = f"{members_N.min():.4g} to {members_N.max():.4g}"
                rows = self._rows_of_decile(name, decile)
                deciles.append((title, tiles(rows, lambda row: f"{values_N[row]:.4g}")))
        return DecileGrid(name, deciles)

    def _flips(self) -> list[tuple[str, Mask]]:
        data = self._data
        return [
            ("kept by the subset alone", data.selected & ~data.against),
            ("kept by the other one alone", data.against & ~data.selected),
        ]

    def flip_rows(self) -> Iterable[int]:
        for _, mask_N in self._flips():
            yield from self._first(mask_N, 2 * self._config.pictures_per_row)

    def difference(self, subset: Subset | None, against: Subset | None, tiles: TileMaker) -> Difference | None:
        if subset is None:
            return None
        data = self._data
        flips = [
            (title, int(mask_N.sum()), tiles(self._first(mask_N, 2 * self._config.pictures_per_row), lambda _: ""))
            for title, mask_N in self._flips()
        ]
        return Difference(
            rule=rule_of(subset),
            against_rule="nothing" if against is None else rule_of(against),
            num_both=int((data.selected & data.against).sum()),
            num_neither=int((~data.selected & ~data.against).sum()),
            flips=flips,
        )

    def _largest_groups(self, name: str, column: pa.ChunkedArray) -> list[tuple[str, str, list[int], int]]:
        encoded = column.combine_chunks().dictionary_encode()
        codes_N = encoded.indices.fill_null(-1).to_numpy()
        sizes = np.bincount(codes_N[codes_N >= 0], minlength=1)
        largest = [code for code in np.argsort(-sizes, kind="stable")[: self._config.num_clusters] if sizes[code] > 1]
        return [
            (
                name,
                str(encoded.dictionary[int(code)].as_py()),
                np.flatnonzero(codes_N == code)[:MAX_CLUSTER_PICTURES].tolist(),
                int(sizes[code]),
            )
            for code in largest
        ]

    def cluster_rows(self) -> Iterable[int]:
        for _, _, rows, _ in self._groups:
            yield from rows

    def clusters(self, tiles: TileMaker) -> list[Cluster]:
        return [Cluster(name, value[:16], size, tiles(rows, lambda _: "")) for name, value, rows, size in self._groups]


def _is_graded(values_N: Values) -> bool:
    """Tell whether a column has an order worth comparing: more than two values."""
    return len(np.unique(values_N[np.isfinite(values_N)])) > 2


def _matrix(names: Sequence[str], compare: Callable[[str, str], float | None]) -> Matrix:
    found: dict[frozenset[str], float | None] = {}
    for one, other in itertools.combinations_with_replacement(names, 2):
        found[frozenset((one, other))] = compare(one, other)
    return Matrix(names, [[found[frozenset((one, other))] for other in names] for one in names])


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
    content = template.render(page=page).encode()
    atomic_write(path, content)
    return len(content)
