"""Clusters of samples that are the same picture, and samples that are a picture of a benchmark.

Both become score datasets, so that a rule can name them: `dedup.duplicate == false`, or to choose the copy yourself
`clip in top(1) per dedup.cluster`; `decontamination.match is null`.

A cluster is everything that is linked by near pairs, directly or through others. Each cluster has one representative:
the sample with the highest value in the column `prefer`, then the one of the earliest pool, then the one with the
smallest hash of its uid. N candidates, F candidates with a feature.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oqvl_filter.benchmark import benchmark_pictures
from oqvl_filter.candidates import Candidates, read_candidates, resolve_column
from oqvl_filter.dedup.config import DedupConfig
from oqvl_filter.dedup.cosine import unit_rows
from oqvl_filter.dedup.hamming import distances, near_pairs
from oqvl_filter.dedup.neighbours import NeighbourSearch, Pairs
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, arrow_type, is_number, is_vector
from oqvl_filter.scorers.phash import perceptual_hash
from oqvl_filter.uid_array import format_uids, hash_uids
from oqvl_shards.binding import bind
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import FieldSpec, Kind
from oqvl_shards.tar.sample import ReadLimits, SampleError
from oqvl_shards.uid import array_to_uids

DUPLICATES_FILE = "duplicates.parquet"

_CLUSTER_FIELDS = (
    FieldSpec(name="cluster", dtype="string", description="uid of the sample that stands for the cluster"),
    FieldSpec(name="cluster_size", dtype="int64", description="samples in the cluster, 1: no duplicate"),
    FieldSpec(name="duplicate", dtype="bool", description="whether another sample stands for it"),
    FieldSpec(name="nearness", dtype="float32", description="to that sample: distance in bits, or cosine; exact: 0"),
)
_MATCH_FIELDS = (
    FieldSpec(name="match", dtype="string", description="nearest benchmark picture, LABEL/NAME; null: none is near"),
    FieldSpec(name="nearness", dtype="float32", description="its distance in bits, or its cosine; exact: 0"),
)

_USUAL_COLUMNS = {
    "exact": ("content_sha", "oqvl-filter score pool=POOL output=PATH scorer.name=rules"),
    "perceptual": ("phash", "oqvl-filter score pool=POOL output=PATH scorer.name=phash"),
    "embedding": (
        "image_embedding",
        "oqvl-filter score pool=POOL output=PATH scorer.name=clip scorer.model=MODEL scorer.image_embedding=float16",
    ),
}
"""Per method: the column that is compared by default, and the command that makes such a column."""


@dataclass(frozen=True)
class Features:
    """What pictures are compared by.

    Args:
        values: [F] text, [F] uint64, or [F, dim] vectors of length 1, depending on `DedupConfig.method`.
        rows: [F] indices of the candidates (or pictures of a benchmark) that have a value.
    """

    values: pa.Array | NDArray[Any]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """The pictures of one or several benchmarks.

    Args:
        names: LABEL/NAME of each picture.
        features: Features of the pictures that can be read.
    """

    names: tuple[str, ...]
    features: Features


def resolve_columns(config: DedupConfig, scores: Mapping[str, Sequence[Dataset]]) -> DedupConfig:
    """Return `config` with every column under its full name, which is what the lineage records.

    Raises:
        ConfigError: If a column does not exist, or if a name means more than one.
    """
    changes = {"column": _column_of(config, scores)}
    if config.prefer:
        changes["prefer"] = resolve_column(config.prefer, scores, "prefer")
    return config.model_copy(update=changes)


def _column_of(config: DedupConfig, scores: Mapping[str, Sequence[Dataset]]) -> str:
    """Return the full name of the column to compare; errors say which command makes such a column."""
    usual, scorer = _USUAL_COLUMNS[config.method]
    making = f"{scorer}, then scores.LABEL=PATH"
    details = [dataset.manifest.details for datasets in scores.values() for dataset in datasets]
    if not config.column and not any(one.kind == "scores" and usual in one.columns for one in details):
        raise ConfigError(
            f"method={config.method} compares the column {usual}, and no scores have it",
            hint=f"{making}; or name another column: column=LABEL.COLUMN",
        )
    try:
        return resolve_column(config.column or usual, scores, "column")
    except ConfigError as error:
        raise ConfigError(error.message, hint=f"{error.hint}; for method={config.method}: {making}") from error


def find_duplicates(
    config: DedupConfig, candidates: Candidates, against: Mapping[str, Dataset]
) -> tuple[tuple[FieldSpec, ...], pa.Table]:
    """Return the columns of the result, and the table of a score file with them.

    Args:
        config: The configuration with resolved names, see `resolve_columns`.
        candidates: The samples.
        against: Pictures to look for, by label; empty: find duplicates among the samples.

    Raises:
        ConfigError: If the method cannot compare a column.
        DataError: If a file of a benchmark is damaged.
    """
    values = candidates.column(config.column)
    features = features_of(values, config, config.column)
    if config.method == "embedding":
        label, _, column = config.column.partition(".")
        compared = (*candidates.labels[label].datasets, *against.values())
        _check_model(column, [dataset for dataset in compared if dataset is not None])
    if against:
        parts = [_read_pictures(label, dataset, config) for label, dataset in against.items()]
        fields, result = _MATCH_FIELDS, match_table(candidates, features, _join_pictures(parts), config)
    else:
        prefer = candidates.column(config.prefer) if config.prefer else None
        if prefer is not None and not is_number(prefer.type):
            raise ConfigError(f"prefer: {config.prefer} is of type {prefer.type}, expected numbers")
        fields, result = _CLUSTER_FIELDS, cluster_table(candidates, features, config, prefer)
    identity = (
        format_uids(candidates.uids),
        pa.array(np.zeros(len(candidates), dtype=bool)),
        pa.nulls(len(candidates), pa.string()),
    )
    columns = {field.name: column for field, column in zip(IDENTITY_FIELDS, identity, strict=True)}
    reasons = pc.call_function(
        "if_else", [values.is_valid(), pa.scalar(None, pa.string()), pa.scalar(f"no {config.column}")]
    )
    return fields, pa.table(
        {**columns, **{name: result[name] for name in result.column_names}, REJECT_FIELD.name: reasons}
    )


def _check_model(column: str, datasets: Sequence[Dataset]) -> None:
    """Check that vectors can be compared: they have one length and, as far as is known, come from one model.

    The model is known for the output of `score`, by its fingerprint.

    Raises:
        ConfigError: If they cannot be compared.
    """
    lengths: dict[int, Dataset] = {}
    models: dict[str, Dataset] = {}
    for dataset in datasets:
        manifest = dataset.manifest
        dtypes = [field.dtype for field in manifest.fields if field.name == column and is_vector(field.dtype)]
        for dtype in dtypes:
            lengths.setdefault(arrow_type(dtype).list_size, dataset)
            if manifest.details.kind == "scores" and manifest.lineage.tool.endswith(" score"):
                models.setdefault(manifest.details.fingerprint, dataset)
    for what, datasets_by_value in (("lengths", lengths), ("fingerprints", models)):
        if len(datasets_by_value) > 1:
            (value, dataset), (other_value, other), *_ = datasets_by_value.items()
            raise ConfigError(
                f"{column}: the vectors of {dataset.path} and {other.path} have the {what} {value} and {other_value}",
                hint="vectors of two models cannot be compared: score both with the same scorer.* and limits.*",
            )


def count_duplicates(table: pa.Table) -> dict[str, int]:
    """Return the statistics of a result of `find_duplicates`: clusters and duplicates, or matches per benchmark."""
    if "match" in table.column_names:
        labels = Counter(match.partition("/")[0] for match in table["match"].drop_null().to_pylist())
        return {"num_matches": labels.total(), **{f"num_matches.{label}": labels[label] for label in sorted(labels)}}
    duplicate = table["duplicate"].fill_null(False).to_numpy()
    sizes = table["cluster_size"].fill_null(1).to_numpy()
    return {"num_clusters": int(np.sum((sizes > 1) & ~duplicate)), "num_duplicates": int(duplicate.sum())}


def features_of(values: pa.Array, config: DedupConfig, name: str) -> Features:
    """Return the features in a column of scores.

    Raises:
        ConfigError: If the method cannot compare the column's type.
    """
    rows = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    present = values.take(pa.array(rows))
    match config.method:
        case "exact" if pa.types.is_string(values.type):
            return Features(present, rows)
        case "perceptual" if pa.types.is_integer(values.type):
            return Features(present.cast(pa.uint64(), safe=False).to_numpy(zero_copy_only=False), rows)
        case "embedding" if pa.types.is_fixed_size_list(values.type):
            flat = present.flatten().to_numpy(zero_copy_only=False)
            return Features(unit_rows(flat.reshape(len(rows), values.type.list_size)), rows)
    expected = {"exact": "text", "perceptual": "64-bit numbers", "embedding": "lists of numbers of one length"}
    raise ConfigError(
        f"column: {name} is of type {values.type}, expected {expected[config.method]} for method={config.method}",
        hint=f"this makes such a column: {_USUAL_COLUMNS[config.method][1]}",
    )


def clusters(features: Features, config: DedupConfig) -> NDArray[np.int64]:
    """Return for each feature [F] the index of the first feature in its cluster."""
    values = features.values
    if isinstance(values, pa.Array):
        codes = values.dictionary_encode().indices.to_numpy()
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return first[inverse]
    if config.method == "perceptual":
        # Plain pictures share many hashes; each distinct one is searched once.
        distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
        linked = connect(len(distinct), _upward(near_pairs(distinct, distinct, config.max_distance)))
        lowest = np.full(len(distinct), len(values))
        np.minimum.at(lowest, linked, first)
        return lowest[linked][inverse]
    search = _make_search(config)
    return connect(len(values), search.pairs(values, values, config.min_cosine))


def connect(count: int, pairs: Pairs) -> NDArray[np.int64]:
    """Return for each of `count` nodes the lowest node that `pairs` connect it to, directly or through others.

    Every round takes the lowest label along each edge and then follows labels once, so the number of rounds grows with
    the logarithm of the longest chain.
    """
    labels = np.arange(count)
    edges = list(pairs)
    if not edges:
        return labels
    left, right = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    while True:
        low = np.minimum(labels[left], labels[right])
        before = labels.copy()
        np.minimum.at(labels, labels[left], low)
        np.minimum.at(labels, labels[right], low)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return labels


def cluster_table(candidates: Candidates, features: Features, config: DedupConfig, prefer: pa.Array | None) -> pa.Table:
    """Return the columns of `_CLUSTER_FIELDS` [N]; null for candidates without a feature.

    Args:
        candidates: The N samples.
        features: The features of F of them.
        config: How they are compared.
        prefer: [N] higher is better; None: all are equal.
    """
    labels_F = clusters(features, config)

    # Sort by cluster, and within a cluster by preference, pool and hash: the first of each cluster represents it.
    uids = candidates.uids[features.rows]
    keys = [uids["f1"], uids["f0"], hash_uids(uids, config.seed), candidates.source_codes[features.rows]]
    if prefer is not None:
        numbers = prefer.cast(pa.float64()).to_numpy(zero_copy_only=False)[features.rows]
        keys.append(-numbers)  # null is NaN, which sorts last
    best_first = np.lexsort([*keys, labels_F])
    sorted_labels = labels_F[best_first]
    is_best = np.ones(len(labels_F), dtype=bool)
    is_best[1:] = sorted_labels[1:] != sorted_labels[:-1]
    best_of_label = np.zeros(len(labels_F), dtype=np.int64)
    best_of_label[sorted_labels[is_best]] = best_first[is_best]
    best_F = best_of_label[labels_F]

    # Spread the results over the candidates.
    sizes_F = np.bincount(labels_F, minlength=len(labels_F))[labels_F]
    places_N = np.full(len(candidates), -1)
    places_N[features.rows] = np.arange(len(labels_F))
    features_of_rows = pa.array(places_N, mask=places_N < 0)
    columns = (
        format_uids(uids[best_F]),
        pa.array(sizes_F, pa.int64()),
        pa.array(best_F != np.arange(len(best_F))),
        pa.array(_nearness(features, best_F, config), pa.float32()),
    )
    return pa.table(
        {field.name: column.take(features_of_rows) for field, column in zip(_CLUSTER_FIELDS, columns, strict=True)}
    )


def _nearness(features: Features, places: NDArray[np.int64], config: DedupConfig) -> NDArray[np.floating]:
    """Return how near each feature is to the one at `places` [F]: distance in bits, or cosine; exact: 0."""
    if isinstance(features.values, pa.Array):
        return np.zeros(len(places))
    if config.method == "perceptual":
        return distances(features.values, features.values[places]).astype(float)
    cosines_F = np.ones(len(places))
    others = np.flatnonzero(places != np.arange(len(places)))
    cosines_F[others] = np.einsum("pd,pd->p", features.values[others], features.values[places[others]])
    return cosines_F


def match_table(candidates: Candidates, features: Features, pictures: Pictures, config: DedupConfig) -> pa.Table:
    """Return the columns of `_MATCH_FIELDS` [N]: the nearest of `pictures` within the limit."""
    best_N = np.full(len(candidates), -1)
    nearness_N = np.full(len(candidates), np.inf)
    for left, right, cost in _matches(features, pictures.features, config):
        # Farthest first, so that the last write of a row is its nearest picture, and the first one among equals.
        order = np.lexsort((-right, -cost))
        rows, cost, matched = features.rows[left[order]], cost[order], pictures.features.rows[right[order]]
        is_nearer = (cost < nearness_N[rows]) | ((cost == nearness_N[rows]) & (matched < best_N[rows]))
        nearness_N[rows[is_nearer]] = cost[is_nearer]
        best_N[rows[is_nearer]] = matched[is_nearer]
    is_near = best_N >= 0
    nearness_N = np.where(is_near, -nearness_N if config.method == "embedding" else nearness_N, 0)
    columns = (
        pa.array(pictures.names, pa.string()).take(pa.array(best_N, mask=~is_near)),
        pa.array(nearness_N, pa.float32(), mask=~is_near),
    )
    return pa.table({field.name: column for field, column in zip(_MATCH_FIELDS, columns, strict=True)})


def _read_pictures(label: str, dataset: Dataset, config: DedupConfig) -> Pictures:
    """Return the features of a benchmark's pictures, or of the pictures that scores are about.

    A picture that several items of a benchmark share counts once.

    Raises:
        ConfigError: If the method needs vectors and `dataset` is a benchmark: vectors come from scores.
        DataError: If a file is damaged.
    """
    if dataset.manifest.kind is Kind.SCORES:
        scored = read_candidates([], {label: [dataset]})
        column = resolve_column(config.column.partition(".")[2], {label: [dataset]}, f"against.{label}")
        names = tuple(f"{label}/{uid}" for uid in array_to_uids(scored.uids))
        return Pictures(names, features_of(scored.column(column), config, column))
    if config.method == "embedding":
        raise ConfigError(
            f"against.{label} is a benchmark, which has no vectors",
            hint="score its pictures as a pool with the same model, and give that score dataset",
        )
    name_of: dict[str, str] = {}
    hashes: list[int | None] = []
    for name, content in benchmark_pictures(dataset):
        sha = hashlib.sha256(content).hexdigest()
        if sha not in name_of:
            name_of[sha] = f"{label}/{name}"
            hashes.append(_hash_of(content, config.limits) if config.method == "perceptual" else None)
    if config.method == "exact":
        return Pictures(
            tuple(name_of.values()), Features(pa.array(list(name_of), pa.string()), np.arange(len(name_of)))
        )
    rows = [row for row, value in enumerate(hashes) if value is not None]
    values = np.array([hashes[row] for row in rows], dtype=np.uint64)
    return Pictures(tuple(name_of.values()), Features(values, np.array(rows, dtype=np.int64)))


def _join_pictures(parts: Sequence[Pictures]) -> Pictures:
    """Return the pictures of all `parts`, in their order."""
    names = tuple(name for part in parts for name in part.names)
    starts = np.cumsum([0, *(len(part.names) for part in parts)])[:-1]
    rows = np.concatenate([part.features.rows + start for part, start in zip(parts, starts, strict=True)])
    values = [part.features.values for part in parts]
    if all(isinstance(array, pa.Array) for array in values):
        return Pictures(names, Features(pa.concat_arrays(values), rows))
    return Pictures(names, Features(np.concatenate(values), rows))


def _upward(pairs: Pairs) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield one direction of pairs within one set that come in both."""
    for left, right in pairs:
        is_upward = left < right
        yield left[is_upward], right[is_upward]


def _matches(
    ours: Features, theirs: Features, config: DedupConfig
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]]:
    """Yield near pairs, and the cost of each: lower is nearer."""
    if isinstance(ours.values, pa.Array):
        places = pc.call_function("index_in", [ours.values], pc.SetLookupOptions(theirs.values))
        left = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        yield left, places.take(pa.array(left)).to_numpy(), np.zeros(len(left))
    elif config.method == "perceptual":
        for left, right in near_pairs(ours.values, theirs.values, config.max_distance):
            yield left, right, distances(ours.values[left], theirs.values[right]).astype(float)
    else:
        search = _make_search(config)
        for left, right in search.pairs(ours.values, theirs.values, config.min_cosine):
            yield left, right, -np.einsum("pd,pd->p", ours.values[left], theirs.values[right])


def _make_search(config: DedupConfig) -> NeighbourSearch:
    return bind(config.search, NeighbourSearch, key="search", options=config.search_options)


def _hash_of(content: bytes, limits: ReadLimits) -> int | None:
    try:
        return perceptual_hash(decode_image(content, limits))
    except SampleError:
        return None
