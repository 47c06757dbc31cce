"""What is selected from: the samples of some pools, and the columns that score datasets hold about them.

A score dataset that was made of a pool has that pool's rows; any other (an imported table, the groups of a
deduplication) is joined to them by uid. A sample that a dataset says nothing about has no value in its columns. Columns
are read when a rule names them. N is the number of samples: distinct uids, in the order of the pools.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.expression import SOURCE
from oqvl_filter.score_file import REJECT_FIELD, is_vector, read_table
from oqvl_filter.selection.column_cache import ColumnCache, Uids
from oqvl_filter.uid_array import first_rows, locate, sort_uids
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Kind

Mask = NDArray[np.bool_]

NO_CACHE = ColumnCache()


@dataclass(frozen=True)
class Label:
    """Score datasets under one label, and how their rows become the candidates' rows.

    Args:
        datasets: One a pool, None where the pool has none; in any number when they are joined by uid.
        places: None when the datasets have the pools' rows; otherwise the row [N] in all of them together, -1: none.
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
        pool_sizes: Rows of each pool.
        rows: [N] rows in all pools together; None when no uid comes twice.
        cache: Where columns are kept for the next time.
        named_by: The score datasets that say what the samples are, one a source.
    """

    uids: NDArray[np.void]
    sources: tuple[str, ...]
    source_codes: NDArray[np.integer]
    labels: Mapping[str, Label]
    pool_sizes: tuple[int, ...]
    rows: NDArray[np.int64] | None = None
    cache: ColumnCache = NO_CACHE
    named_by: tuple[Dataset, ...] = ()
    _read: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def num_duplicates(self) -> int:
        """Rows beside the N, with a uid that an earlier one has."""
        return sum(self.pool_sizes) - len(self)

    def column(self, name: str) -> pa.Array:
        """Return the values [N] of a column given as `LABEL.COLUMN`, or of `source`."""
        if name == SOURCE:
            codes = pa.array(self.source_codes.astype(np.int32))
            return pa.DictionaryArray.from_arrays(codes, pa.array(self.sources, pa.string()))
        if name not in self._read:
            self._read[name] = self._load(*name.split(".", 1))
        return self._read[name]

    def rejects(self, label: str) -> pa.Array:
        """Return the reasons [N] why the scorer of `label` gave samples no scores; null where it gave them."""
        return self.column(f"{label}.{REJECT_FIELD.name}")

    def _load(self, key: str, column: str) -> pa.Array:
        label = self.labels[key]
        parts = [self._part(one, column) for one in label.datasets]
        types = {part.type for part in parts if part is not None}
        if len(types) > 1:
            raise ConfigError(f"{key}.{column} is of type {' and '.join(map(str, types))} in the datasets of {key!r}")
        (type_,) = types
        sizes = self.pool_sizes if label.places is None else [one.manifest.num_samples for one in label.datasets if one]
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
    pools: Sequence[Dataset], scores: Mapping[str, Sequence[Dataset]], cache: ColumnCache = NO_CACHE
) -> Candidates:
    """Find the samples of `pools` in their scores, and how each label's datasets join them.

    Without pools, the samples are those that the scores name, and a sample's source is the first dataset that does.

    Args:
        pools: Datasets of kind image_text, with names of their own.
        scores: Score datasets by label.
        cache: Where columns are kept for the next time.

    Raises:
        ConfigError: When a pool has no scores of its own, or scores are of another pool or of none of the samples.
        DataError: When a score file is damaged.
    """
    owners = {pool.manifest.digest(): index for index, pool in enumerate(pools)}
    if len({pool.manifest.name for pool in pools}) != len(pools):
        raise ConfigError(
            f"the pools are called {[pool.manifest.name for pool in pools]}, expected names of their own",
            hint="the name is what a rule calls the source: import the pools under different names",
        )
    own = {key: _own_scores(key, datasets, owners) for key, datasets in scores.items()}
    firsts = [_first_scores(pool, [found.get(index) for found in own.values()]) for index, pool in enumerate(pools)]
    if not pools:
        firsts = [dataset for datasets in scores.values() for dataset in datasets]
    parts = [_uids(dataset, cache) for dataset in firsts]
    names = tuple(one.manifest.name for one in (pools or firsts))
    sizes = tuple(len(part.values) for part in parts)
    uids = parts[0].values if len(parts) == 1 else np.concatenate([part.values for part in parts])
    codes = np.repeat(np.arange(len(sizes), dtype=np.int16), sizes)
    rows = None if len(parts) == 1 and parts[0].is_distinct else first_rows(uids)
    if rows is not None:
        uids, codes = uids[rows], codes[rows]
    labels = {}
    for key, found in own.items():
        aligned = _align(found, scores[key], firsts, parts, cache)
        labels[key] = aligned or _match(key, scores[key], uids, cache)
    if not pools:
        sizes, rows = (len(uids),), None
    return Candidates(uids, names, codes, labels, sizes, rows, cache, tuple(firsts))


def resolve_column(name: str, scores: Mapping[str, Sequence[Dataset]], key: str = "") -> str:
    """Return which column is meant by `name`: `LABEL.COLUMN`, or `source`.

    That is one of its very name; else the only column of the label of that name, vectors left aside where there are
    others; else the only column so called.

    Args:
        name: As in a rule.
        scores: Score datasets by label.
        key: The field of the configuration that names the column, for errors; empty: none.

    Raises:
        ConfigError: When there is none, or more than one.
    """
    columns = {
        label: list(dict.fromkeys(c for one in datasets for c in _columns(one))) for label, datasets in scores.items()
    }
    known = [SOURCE, *(f"{label}.{column}" for label, names in columns.items() for column in names)]
    if name in known:
        return name
    vectors = {field.name for one in scores.get(name, ()) for field in one.manifest.fields if is_vector(field.dtype)}
    own = [column for column in columns.get(name, []) if column not in vectors] or columns.get(name, [])
    found = {f"{name}.{own[0]}"} if len(own) == 1 else set()
    found |= {column for column in known if column.partition(".")[2] == name}
    if len(found) == 1:
        return found.pop()
    where = f"{key}: " if key else ""
    if found or own:
        meant = sorted(found) or [f"{name}.{column}" for column in own]
        raise ConfigError(f"{where}found {name!r}, expected one column", hint=f"it may mean {', '.join(meant)}")
    close = difflib.get_close_matches(name, [*known, *columns], n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(f"{where}found {name!r}, expected a column", hint=f"{guess}known: {', '.join(known)}")


def _own_scores(key: str, datasets: Sequence[Dataset], owners: Mapping[str, int]) -> dict[int, Dataset]:
    """Return the datasets that were scored from one of the pools, by the pool's index."""
    found: dict[int, Dataset] = {}
    for dataset in datasets:
        lineage = dataset.manifest.lineage
        tars = {one.digest for one in lineage.ancestors if one.kind is Kind.IMAGE_TEXT} & set(lineage.parents)
        if owners and tars and not tars & owners.keys():
            raise ConfigError(
                f"scores.{key} ({dataset.path}) are of another pool than those given",
                hint="score these pools, or give the pool that the scores were made of",
            )
        found |= {owners[digest]: dataset for digest in tars & owners.keys()}
    return found


def _first_scores(pool: Dataset, found: Sequence[Dataset | None]) -> Dataset:
    """Return the first of the largest datasets of `pool`, which tells what its samples are: imports may lack some."""
    scores = [dataset for dataset in found if dataset is not None]
    if scores:
        return max(scores, key=lambda dataset: dataset.manifest.num_samples)
    raise ConfigError(
        f"there are no scores of the pool {pool.path}, which would tell what its samples are",
        hint=f"oqvl-filter score pool={pool.path} output=..., and give it under scores.LABEL",
    )


def _align(
    found: Mapping[int, Dataset],
    datasets: Sequence[Dataset],
    firsts: Sequence[Dataset],
    first_uids: Sequence[Uids],
    cache: ColumnCache,
) -> Label | None:
    """Return a label whose datasets have the rows of `firsts`, one a pool; None when they have others."""
    if not found or len(found) < len(datasets):
        return None
    others = [(index, one) for index, one in found.items() if one is not firsts[index]]
    if any(not np.array_equal(_uids(one, cache).values, first_uids[index].values) for index, one in others):
        return None
    return Label(tuple(found.get(index) for index in range(len(firsts))))


def _match(key: str, datasets: Sequence[Dataset], uids: NDArray[np.void], cache: ColumnCache) -> Label:
    """Return a label that is joined by uid; of rows that share one the first stands."""
    sorted_M, rows_M = sort_uids(np.concatenate([_uids(dataset, cache).values for dataset in datasets]))
    places_N = locate(sorted_M, uids)
    if len(uids) and not np.any(places_N >= 0):
        raise ConfigError(
            f"scores.{key} name {len(sorted_M)} uids, and none of the {len(uids)} samples is among them",
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
    return _join_chunks([table[column] for table in tables])


def _join_chunks(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.chunked_array(chunks, columns[0].type if columns else pa.string())


def _join(parts: Sequence[pa.Array | pa.ChunkedArray], type_: pa.DataType) -> pa.Array:
    chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
    return pa.concat_arrays(chunks) if chunks else pa.nulls(0, type_)
