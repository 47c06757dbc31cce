"""The results of `dedup` as pictures: clusters, and samples next to the pictures of benchmarks that they match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from oqvl_filter.benchmark import benchmark_pictures
from oqvl_filter.candidates import codes_of
from oqvl_filter.pages.gallery import Picture, find_pictures, picture_of_file, shorten
from oqvl_filter.pages.scored_samples import ScoredSamples
from oqvl_filter.pages.strip import Panel, Strip, Tile
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Kind
from oqvl_shards.tar.sample import ReadLimits

MAX_CLUSTER_PICTURES = 8


def method_of(dataset: Dataset) -> str:
    """Return what `dedup` compared to write this dataset: exact, perceptual or embedding."""
    assert dataset.manifest.details.kind == "scores"
    return dataset.manifest.details.scorer.removeprefix("dedup ")


def cluster_panel(label: str, method: str, data: ScoredSamples, num_clusters: int) -> Panel:
    """Return the largest clusters of a deduplication, and those whose members are farthest from the representative.

    Args:
        label: Label of its scores.
        method: What was compared.
        data: The samples.
        num_clusters: Maximum number of clusters of either kind.
    """
    # Per cluster: its size, and the largest distance of a copy from the representative.
    column = data.candidates.column
    codes_N = codes_of(column(f"{label}.cluster"))
    is_copy_N = column(f"{label}.duplicate").fill_null(False).to_numpy(zero_copy_only=False)
    far_N = _farness(column(f"{label}.nearness"), method)
    rows = np.flatnonzero(codes_N >= 0)
    sizes = np.bincount(codes_N[rows], minlength=1)
    farthest = np.full(len(sizes), -np.inf)
    np.maximum.at(farthest, codes_N[rows], np.where(is_copy_N, far_N, -np.inf)[rows])
    several = np.flatnonzero(sizes > 1)
    largest = several[np.argsort(-sizes[several], kind="stable")][:num_clusters]
    loosest = several[np.argsort(-farthest[several], kind="stable")][:num_clusters]
    strips = []
    for code in dict.fromkeys([*largest.tolist(), *loosest.tolist()]):
        members = np.flatnonzero(codes_N == code)
        order = np.lexsort((far_N[members], is_copy_N[members]))
        ordered = members[order].tolist()
        # Of a large cluster the representative and the copies that are least like it.
        shown = ordered[:1] + ordered[1:][-(MAX_CLUSTER_PICTURES - 1) :]
        tiles = [Tile(row, *_cluster_note(method, far_N[row], is_copy_N[row])) for row in shown]
        strips.append(Strip(f"{len(members):,} samples", tiles))
    num_copies = int(is_copy_N.sum())
    text = f"{len(several):,} clusters by {_COMPARED[method]}: one representative each, and {num_copies:,} copies."
    if len(several) > len(strips):
        text += " Shown are the largest clusters, then those with the least similar copies."
    return Panel(label, text, strips)


def match_panel(label: str, method: str, data: ScoredSamples, num_pairs: int) -> Panel:
    """Return samples next to the pictures of benchmarks that they match, the least similar ones first.

    Args:
        label: Label of the matches.
        method: What was compared.
        data: The samples.
        num_pairs: Maximum number of pairs to show.
    """
    matches = data.candidates.column(f"{label}.match")
    far_N = _farness(data.candidates.column(f"{label}.nearness"), method)
    rows = data.order[matches.is_valid().to_numpy(zero_copy_only=False)[data.order]]
    shown = rows[np.argsort(-far_N[rows], kind="stable")][:num_pairs].tolist()
    names = matches.take(pa.array(shown, pa.int64())).to_pylist()
    strips = [
        Strip(_near(method, far_N[row]), [Tile(row), Tile(name, mark="benchmark")])
        for row, name in zip(shown, names, strict=True)
    ]
    text = f"{len(rows):,} samples match by {_COMPARED[method]}."
    if len(rows) > len(strips):
        text += f" Shown are the {len(strips)} least similar."
    return Panel(label, text, strips)


def matched_pictures(
    names: Iterable[str], benchmarks: Mapping[str, Dataset], limits: ReadLimits
) -> Iterator[tuple[str, Picture]]:
    """Yield the names of benchmarks' pictures and what a page shows of them.

    Args:
        names: `LABEL/NAME` of each picture, as `dedup` wrote it.
        benchmarks: Per label a dataset of kind benchmark, or a pool whose scores were given to `dedup`.
        limits: Caps on what is read of a picture.
    """
    wanted: dict[str, set[str]] = {}
    for name in names:
        label, _, rest = name.partition("/")
        wanted.setdefault(label, set()).add(rest)
        if label not in benchmarks:
            yield name, Picture(pool=label, shard="", key=shorten(rest), caption="", source="", problem="")
    for label, dataset in benchmarks.items():
        left = wanted.get(label, set())
        if dataset.manifest.kind is Kind.IMAGE_TEXT:
            for uid, picture in find_pictures(dataset, left, limits).items():
                yield f"{label}/{uid}", picture
            continue
        for name, content in benchmark_pictures(dataset) if left else ():
            if name in left:
                left.remove(name)
                yield f"{label}/{name}", picture_of_file(label, name, content, limits)


def check_benchmarks(benchmarks: Mapping[str, Dataset], found: Sequence[Dataset]) -> None:
    """Check that `benchmarks` are the pictures that `dedup` looked for.

    Args:
        benchmarks: The given datasets by label.
        found: The datasets that `dedup` wrote.

    Raises:
        ConfigError: If a dataset is another one.
    """
    for label, dataset in benchmarks.items():
        digest = dataset.manifest.digest()
        known = set()
        for result in found:
            lineage = result.manifest.lineage
            searched = lineage.config.get("against", {}).get(label)
            parents = (ancestor.parents for ancestor in lineage.ancestors if ancestor.digest == searched)
            known |= {searched, *(parent for digests in parents for parent in digests)}
        if digest not in known:
            raise ConfigError(
                f"benchmarks.{label} ({dataset.path}) is not what dedup looked for as against.{label}",
                hint="give the output of dedup as scores.LABEL=PATH, and the dataset that dedup was given, "
                "or the pool that its scores were made of",
            )


_COMPARED = {"exact": "their digest", "perceptual": "perceptual hash", "embedding": "embedding"}


def _farness(nearness: pa.Array, method: str) -> NDArray[np.float64]:
    """Return the distances [N]: bits, or for embeddings the negative cosine; 0 if there is none."""
    values = nearness.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    return -values if method == "embedding" else values


def _near(method: str, farness: float) -> str:
    if method == "exact":
        return "the same file"
    return f"cosine {-farness:.3f}" if method == "embedding" else f"{farness:.0f} of 64 bits differ"


def _cluster_note(method: str, farness: float, is_copy: bool) -> tuple[str, str]:
    return (_near(method, farness), "") if is_copy else ("", "kept")
