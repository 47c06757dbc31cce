"""The samples of some pools, and the columns that score datasets hold about them.

A score dataset that was made from a pool has that pool's rows. Any other (an imported table, the clusters of a
deduplication) is joined to them by uid. If a dataset says nothing about a sample, the sample has no value in its
columns. Columns are read when they are first asked for. N is the number of samples: distinct uids, in the order of the
pools.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.column_cache import ColumnCache, Uids
from oqvl_filter.score_file import REJECT_FIELD, is_vector, read_table
from oqvl_filter.uid_array import first_rows, locate, sort_uids
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Kind

Mask = NDArray[np.bool_]

SOURCE = "source"
"""The column that every sample has: the name of its pool."""

_NO_CACHE = ColumnCache()


@dataclass(frozen=True)
class Label:
    """The score datasets under one label, and how their rows map to the candidates.

    Args:
        datasets: One per pool, None for a pool without one; any number if they are joined by uid.
        places: None if the datasets have the pools' rows; otherwise the row [N] in all of them together, -1: none.
    """

    datasets: tuple[Dataset | None, ...]
    places: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Candidates:
    """The samples and how their columns are found; see the module's docstring.

    Args:
        uids: [N] of dtype `UID_DTYPE`, distinct.
        sources: Names of the pools.
        source_codes: [N] indices into `sources`.
        labels: The score datasets.
        pool_sizes: Number of rows of each pool.
        rows: [N] rows in all pools together; None if no uid repeats.
        cache: Where columns are kept for the next time.
        named_by: The score datasets that list the samples, one per source.
    """

    uids: NDArray[np.void]
    sources: tuple[str, ...]
    source_codes: NDArray[np.integer]
    labels: Mapping[str, Label]
    pool_sizes: tuple[int, ...]
    rows: NDArray[np.int64] | None = None
    cache: ColumnCache = _NO_CACHE
    named_by: tuple[Dataset, ...] = ()
    _read: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def num_duplicates(self) -> int:
        """Number of rows in addition to the N that share the uid of an earlier row."""
        return sum(self.pool_sizes) - len(self)

    def column(self, name: str) -> pa.Array:
        """Return the values [N] of a column given as `LABEL.COLUMN`, or of `source`."""
        if name == SOURCE:
            codes = pa.array(self.source_codes.astype(np.int32))
            return pa.DictionaryArray.from_arrays(codes, pa.array(self.sources, pa.string()))
        if name not in self._read:
            label, _, column = name.partition(".")
            self._read[name] = self._load(label, column)
        return self._read[name]

    def rejects(self, label: str) -> pa.Array:
        """Return the reasons [N] why samples have no scores under `label`; null for samples with scores."""
        return self.column(f"{label}.{REJECT_FIELD.name}")

    def _load(self, key: str, column: str) -> pa.Array:
        """Return the values [N] of a column of one label, read from its datasets.

        Raises:
            ConfigError: If the datasets hold the column in different types.
        """
        label = self.labels[key]
        parts = [self._part(dataset, column) for dataset in label.datasets]
        types = {part.type for part in parts if part is not None}
        if len(types) > 1:
            raise ConfigError(f"{key}.{column} is of type {' and '.join(map(str, types))} in the datasets of {key!r}")
        (type_,) = types
        if label.places is None:
            sizes = self.pool_sizes
        else:
            sizes = [dataset.manifest.num_samples for dataset in label.datasets if dataset]
        sized = zip(parts, sizes, strict=True)
        whole = _join([pa.nulls(size, type_) if part is None else part for part, size in sized], type_)
        if label.places is not None:
            return whole.take(pa.array(label.places, mask=label.places < 0))
        return whole if self.rows is None else whole.take(pa.array(self.rows))

    def _part(self, dataset: Dataset | None, column: str) -> pa.ChunkedArray | None:
        if dataset is None or not _has(dataset, column):
            return None
        return self.cache.column(dataset, column, lambda: _read(dataset, column))


def read_candidates(
    pools: Sequence[Dataset], scores: Mapping[str, Sequence[Dataset]], cache: ColumnCache = _NO_CACHE
) -> Candidates:
    """Find the samples of `pools` in their scores, and how each label's datasets map to them.

    Without pools, the samples are the uids in the scores, and a sample's source is the first dataset that names it.

    No tar is opened: the samples of a pool are what its scores list, which costs one column of uids per dataset. A join
    by uid costs a sort of the dataset's uids; datasets that were scored from the pools need none.

    Args:
        pools: Datasets of kind image_text with distinct names.
        scores: Score datasets by label.
        cache: Where columns are kept for the next time.

    Raises:
        ConfigError: If a pool has no scores of its own, or if scores are of another pool or of none of the samples.
        DataError: If a score file is damaged.
    """
    # Rules call a pool by its name, so two pools must not share one.
    names = [pool.manifest.name for pool in pools]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"the pools are called {names}, expected distinct names",
            hint="the name is what a rule calls the source: import the pools under different names",
        )

    # Per label: the datasets that were scored from one of the pools, by the pool's index.
    owners = {pool.manifest.digest(): index for index, pool in enumerate(pools)}
    scored = {label: _scored_from(label, datasets, owners) for label, datasets in scores.items()}

    # Per source: the dataset that lists its samples.
    if pools:
        listings = [
            _listing(pool, [by_pool.get(index) for by_pool in scored.values()]) for index, pool in enumerate(pools)
        ]
    else:
        listings = [dataset for datasets in scores.values() for dataset in datasets]
    listed = [_uids(dataset, cache) for dataset in listings]

    # All rows of all sources, one source after another.
    sizes = tuple(len(uids.values) for uids in listed)
    uids = listed[0].values if len(listed) == 1 else np.concatenate([uids.values for uids in listed])
    codes = np.repeat(np.arange(len(sizes), dtype=np.int16), sizes)

    # A sample is a distinct uid; of rows that share a uid the first one counts.
    rows = None if len(listed) == 1 and listed[0].is_distinct else first_rows(uids)
    if rows is not None:
        uids, codes = uids[rows], codes[rows]

    # Labels with the rows of the listings need no join.
    labels = {}
    for label, datasets in scores.items():
        aligned = _align(scored[label], datasets, listings, listed, cache)
        labels[label] = aligned or _match(label, datasets, uids, cache)

    # Without pools every label is joined by uid, so there are no rows of pools to refer to.
    return Candidates(
        uids=uids,
        sources=tuple(dataset.manifest.name for dataset in (pools or listings)),
        source_codes=codes,
        labels=labels,
        pool_sizes=sizes if pools else (len(uids),),
        rows=rows if pools else None,
        cache=cache,
        named_by=tuple(listings),
    )


def resolve_column(name: str, scores: Mapping[str, Sequence[Dataset]], key: str = "") -> str:
    """Return the full name of the column that `name` means: `LABEL.COLUMN`, or `source`.

    Short names keep rules readable; the cost is that a new score dataset can make one ambiguous, which is an error and
    never a guess. `name` is, in this order:

    1. a full name;
    2. a label with a single column, or with a single one that is not a vector; or a column that only one label has.

    Args:
        name: The name in a rule.
        scores: Score datasets by label.
        key: The field of the configuration that names the column, for errors; empty: none.

    Raises:
        ConfigError: If no column matches, or more than one.
    """
    columns = {
        label: list(dict.fromkeys(column for dataset in datasets for column in _columns(dataset)))
        for label, datasets in scores.items()
    }
    known = [SOURCE, *(f"{label}.{column}" for label, names in columns.items() for column in names)]
    if name in known:
        return name

    # The name as a label: vectors cannot be compared in a rule, so they only count if the label has nothing else.
    vectors = {
        field.name for dataset in scores.get(name, ()) for field in dataset.manifest.fields if is_vector(field.dtype)
    }
    of_label = [column for column in columns.get(name, []) if column not in vectors] or columns.get(name, [])
    candidates = {f"{name}.{of_label[0]}"} if len(of_label) == 1 else set()

    # The name as a column of any label.
    candidates |= {column for column in known if column.partition(".")[2] == name}
    if len(candidates) == 1:
        return candidates.pop()

    where = f"{key}: " if key else ""
    if candidates or of_label:
        meant = sorted(candidates) or [f"{name}.{column}" for column in of_label]
        raise ConfigError(f"{where}found {name!r}, expected one column", hint=f"it may mean {', '.join(meant)}")
    close = difflib.get_close_matches(name, [*known, *columns], n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(f"{where}found {name!r}, expected a column", hint=f"{guess}known: {', '.join(known)}")


def codes_of(values: pa.Array) -> NDArray[np.int64]:
    """Return a number [N] per value, the same for equal values; -1 for null."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    return values.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _scored_from(label: str, datasets: Sequence[Dataset], owners: Mapping[str, int]) -> dict[int, Dataset]:
    """Return the datasets that were scored from one of the pools, by the pool's index.

    Args:
        label: The datasets' label, for errors.
        datasets: Score datasets.
        owners: Index of each pool by the digest of its manifest.

    Raises:
        ConfigError: If a dataset was scored from another pool.
    """
    by_pool: dict[int, Dataset] = {}
    for dataset in datasets:
        lineage = dataset.manifest.lineage
        image_text = {ancestor.digest for ancestor in lineage.ancestors if ancestor.kind is Kind.IMAGE_TEXT}
        scored_pools = image_text & set(lineage.parents)
        if owners and scored_pools and not scored_pools & owners.keys():
            raise ConfigError(
                f"scores.{label} ({dataset.path}) are of another pool than those given",
                hint="score these pools, or give the pool that was scored",
            )
        by_pool |= {owners[digest]: dataset for digest in scored_pools & owners.keys()}
    return by_pool


def _listing(pool: Dataset, datasets: Sequence[Dataset | None]) -> Dataset:
    """Return the dataset that lists the samples of `pool`: the first of the largest, because imports may lack some.

    Raises:
        ConfigError: If there is none.
    """
    scores = [dataset for dataset in datasets if dataset is not None]
    if scores:
        return max(scores, key=lambda dataset: dataset.manifest.num_samples)
    raise ConfigError(
        f"there are no scores of the pool {pool.path}, which would list its samples",
        hint=f"run oqvl-filter score pool={pool.path} output=..., and give the output as scores.LABEL",
    )


def _align(
    by_pool: Mapping[int, Dataset],
    datasets: Sequence[Dataset],
    listings: Sequence[Dataset],
    listed: Sequence[Uids],
    cache: ColumnCache,
) -> Label | None:
    """Return a label whose datasets have the rows of `listings`, one per pool; None if they have other rows."""
    if not by_pool or len(by_pool) < len(datasets):
        return None
    others = [(index, dataset) for index, dataset in by_pool.items() if dataset is not listings[index]]
    if any(not np.array_equal(_uids(dataset, cache).values, listed[index].values) for index, dataset in others):
        return None
    return Label(tuple(by_pool.get(index) for index in range(len(listings))))


def _match(label: str, datasets: Sequence[Dataset], uids: NDArray[np.void], cache: ColumnCache) -> Label:
    """Return a label that is joined by uid; of rows that share a uid the first one counts.

    Raises:
        ConfigError: If the datasets name none of the samples.
    """
    sorted_M, rows_M = sort_uids(np.concatenate([_uids(dataset, cache).values for dataset in datasets]))
    places_N = locate(sorted_M, uids)
    if len(uids) and not np.any(places_N >= 0):
        raise ConfigError(
            f"scores.{label} name {len(sorted_M)} uids, and none of the {len(uids)} samples is among them",
            hint="check that they are of the same source",
        )
    rows_N = np.where(places_N < 0, -1, rows_M[places_N] if len(rows_M) else -1)
    return Label(tuple(datasets), rows_N)


def _uids(dataset: Dataset, cache: ColumnCache) -> Uids:
    return cache.uids(dataset, lambda: _read(dataset, "uid"))


def _columns(dataset: Dataset) -> tuple[str, ...]:
    assert dataset.manifest.details.kind == Kind.SCORES
    return dataset.manifest.details.columns


def _has(dataset: Dataset, column: str) -> bool:
    return column == REJECT_FIELD.name or column in _columns(dataset)


def _read(dataset: Dataset, column: str) -> pa.ChunkedArray:
    paths = [dataset.shard_path(shard) for shard in dataset.manifest.shards]
    with ThreadPoolExecutor(4) as threads:
        tables = list(threads.map(lambda path: read_table(path, [column]), paths))
    chunks = [chunk for table in tables for chunk in table[column].chunks]
    return pa.chunked_array(chunks, tables[0][column].type if tables else pa.string())


def _join(parts: Sequence[pa.Array | pa.ChunkedArray], type_: pa.DataType) -> pa.Array:
    chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
    return pa.concat_arrays(chunks) if chunks else pa.nulls(0, type_)
